use super::*;

/// A file with this text, in a folder of its own.
fn file(name: &str, text: &str) -> PathBuf {
    let folder = std::env::temp_dir().join("mote-tables");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn table(fields: &str) -> Table {
    toml::from_str(&format!("file = \"nowhere.csv\"\n{fields}")).unwrap()
}

fn load(table: &Table, path: &Path, part: Part) -> Result<DataSet, TableError> {
    let outputs: Vec<usize> = (0..table.outputs.len()).collect();
    table.load(Path::new(""), Some(path), &outputs, part)
}

fn refusal(table: &Table, path: &Path) -> String {
    load(table, path, Part::Train).unwrap_err().to_string()
}

const FOUR: &str = "a,b,y\n1,10,5\n3,10,7\n2,40,6\n9,90,1\n";

#[test]
fn rows_are_scaled_by_what_is_learnt_from_alone() {
    let path = file("scaled.csv", FOUR);
    let fields =
        "inputs = [\"a\", \"b\"]\noutputs = [\"y\"]\nrows = \"file\"\ntrain = 0.75\nscale = ";
    let read = |scale: &str, part| {
        let table = table(&format!("{fields}\"{scale}\""));
        load(&table, &path, part).unwrap().values.unwrap()
    };
    // Of 1, 3, 2 and 10, 10, 40: means 2 and 20, variances 2/3 and 200.
    let plain = read("none", Part::Train);
    assert_eq!(plain.inputs, [1.0, 10.0, 3.0, 10.0, 2.0, 40.0]);
    assert_eq!(plain.targets, [5.0, 7.0, 6.0]);
    assert_eq!(read("center", Part::Test).inputs, [7.0, 70.0]);
    assert_eq!(
        read("min_max", Part::Train).inputs,
        [0.0, 0.0, 1.0, 0.0, 0.5, 1.0]
    );
    let deviations = [(2.0f64 / 3.0).sqrt(), 200f64.sqrt()];
    let wanted = [7.0 / deviations[0], 70.0 / deviations[1]].map(|x| x as f32);
    let test = read("standard", Part::Test);
    assert_eq!(test.inputs, wanted);
    // And back.
    assert!((test.features[1].number(test.inputs[1]) - 90.0).abs() < 1e-5);
}

#[test]
fn a_column_of_one_number_stays_finite() {
    let path = file("constant.csv", "a,y\n4,1\n4,2\n4,3\n4,4\n5,5\n");
    for scale in ["center", "standard", "min_max"] {
        let table = table(&format!(
            "inputs = [\"a\"]\noutputs = [\"y\"]\nrows = \"file\"\nscale = \"{scale}\""
        ));
        let inputs = load(&table, &path, Part::Train)
            .unwrap()
            .values
            .unwrap()
            .inputs;
        assert_eq!(inputs, [0.0; 4], "{scale}");
    }
}

#[test]
fn gaps_are_refused_filled_or_left_out() {
    let path = file("gaps.csv", "a,b,y\n1,2,3\nNA,4,5\n7,,1\n5,6,\n3,8,9\n");
    let with = |missing: &str| {
        table(&format!(
            "inputs = [\"a\", \"b\"]\noutputs = [\"y\"]\nrows = \"file\"\ntrain = 0.7\n{missing}"
        ))
    };
    let error = refusal(&with(""), &path);
    assert!(
        error.contains("line 3, column `a`: the cell is empty") && error.contains("median"),
        "{error}"
    );
    let values = |missing: &str, part| {
        let set = load(&with(missing), &path, part).unwrap();
        set.values.unwrap()
    };
    // Without the row whose output is missing three rows are learnt from: medians of 1, 7 and of 2, 4.
    let median = values("missing = \"median\"", Part::Train);
    assert_eq!(median.inputs, [1.0, 2.0, 4.0, 4.0, 7.0, 3.0]);
    assert_eq!(median.targets, [3.0, 5.0, 1.0]);
    let drop = values("missing = \"drop\"", Part::Train);
    assert_eq!((drop.inputs, drop.targets), (vec![1.0, 2.0], vec![3.0]));
}

#[test]
fn classes_go_by_name_or_by_place() {
    let path = file(
        "classes.csv",
        "120,4,left,right\n1.5,2,left,0\n2.5,3,1,0\n3.5,4,right,0\n",
    );
    let table = table(
        "inputs = [\"a\"]\ncolumns = [\"a\", \"b\", \"side\", \"c\"]\nclass = \"side\"\nclasses = [\"left\", \"right\"]\n\
         rows = \"file\"\ntrain = 0.6",
    );
    let set = load(&table, &path, Part::Train).unwrap();
    assert_eq!((set.classes, set.labels.as_slice()), (2, &[0, 1][..]));
    assert_eq!(set.values.unwrap().inputs, [1.5, 2.5]);
    let path = file("unknown.csv", "120,4,left,right\n1.5,2,middle,0\n");
    let error = refusal(&table, &path);
    assert!(
        error.contains("line 2, column `side`") && error.contains("`middle`"),
        "{error}"
    );
}

#[test]
fn every_row_is_learnt_from_or_tested_on() {
    let text: String = (0..50).map(|i| format!("{i},{i}\n")).collect();
    let path = file("split.csv", &format!("\u{feff}a,y\n{text}"));
    let table = table("inputs = [\"a\"]\noutputs = [\"y\"]");
    let [train, test] = [Part::Train, Part::Test].map(|part| {
        let set = load(&table, &path, part).unwrap();
        set.values.unwrap().targets
    });
    assert_eq!((train.len(), test.len()), (40, 10));
    assert!(train.windows(2).any(|pair| pair[0] > pair[1]), "{train:?}");
    let mut all = [train, test].concat();
    all.sort_by(f32::total_cmp);
    assert_eq!(all, (0..50).map(|i| i as f32).collect::<Vec<_>>());
}

#[test]
fn what_is_wrong_is_said_with_line_and_column() {
    let table = table("inputs = [\"a\"]\noutputs = [\"y\"]");
    for (text, words) in [
        ("a,y\n1,2\n3\n", "line 3: wanted 2 cells, found 1"),
        (
            "a,y\n1,2\nx,4\n",
            "line 3, column `a`: wanted a finite number, found `x`",
        ),
        (
            "a,y\n1,inf\n",
            "column `y`: wanted a finite number, found `inf`",
        ),
        ("a,z\n1,2\n", "no column `y` among a, z"),
        ("a,y\n", "no row is left to learn from"),
        ("a,y\n1,2\n", "no row is left to test on"),
    ] {
        let error = refusal(&table, &file("wrong.csv", text));
        assert!(error.contains(words), "{error}");
    }
    let nowhere = std::env::temp_dir().join("mote-no-such.csv");
    assert!(refusal(&table, &nowhere).contains("--data FILE.csv"));
}
