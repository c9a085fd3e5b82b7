use std::fmt::Write as _;
use std::sync::atomic::AtomicUsize;

use super::*;

const RECIPE: &str = r#"# Two circles.
name = "circles"
[data]
set = "table"
validation = 0.25
[data.table]
file = "circles.csv"
inputs = ["x", "y"]
class = "side"
classes = ["in", "out"]
[[layer]]
name = "a.b"
type = "dense"
units = 4       # few
activation = "tanh"
[[layer]]
type = "dense"
units = 2
activation = "softmax"
[train]
epochs = 4
batch = 16
seed = 5
optimizer = { type = "adam", learning_rate = 0.05 }
[[train.head]]
layer = "dense_2"
loss = "cross_entropy"
"#;

/// A folder of its own with a table in it; removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("mote-{}-search-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut text = "x,y,side\n".to_owned();
        for i in 0..160 {
            let (x, y) = (
                f64::from(i * 37 % 101) / 50.0 - 1.0,
                f64::from(i * 53 % 89) / 44.0 - 1.0,
            );
            let side = if x * x + y * y < 0.6 { "in" } else { "out" };
            let _ = writeln!(text, "{x},{y},{side}");
        }
        std::fs::write(folder.join("circles.csv"), text).unwrap();
        Self(folder)
    }

    fn plan(&self, axes: &[&str]) -> Plan {
        Plan {
            path: "circles.toml".into(),
            axes: axes.iter().map(|axis| axis.parse().unwrap()).collect(),
            starts: 2,
            jobs: 1,
            device: DeviceChoice::Cpu,
            data: Some(self.0.join("circles.csv")),
            epochs: None,
            limit: None,
            directory: self.0.join("run"),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Counts runs, and stops after so many epochs.
struct Counter {
    fresh: AtomicUsize,
    known: AtomicUsize,
    epochs: AtomicUsize,
    stop_after: usize,
}

impl Counter {
    fn new(stop_after: usize) -> Self {
        let [fresh, known, epochs] = [0; 3].map(AtomicUsize::new);
        Self {
            fresh,
            known,
            epochs,
            stop_after,
        }
    }

    fn counts(&self) -> [usize; 3] {
        [&self.fresh, &self.known, &self.epochs].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Watch for Counter {
    fn stopped(&self) -> bool {
        self.epochs.load(Ordering::Relaxed) >= self.stop_after
    }

    fn epoch(&self, _run: &str, _row: &EpochRow) {
        self.epochs.fetch_add(1, Ordering::Relaxed);
    }

    fn run(&self, _record: &Record, fresh: bool) {
        let count = if fresh { &self.fresh } else { &self.known };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn base() -> Recipe {
    Recipe::parse(RECIPE, Path::new("circles.toml")).unwrap()
}

fn settings(axis: &str) -> Vec<Setting> {
    fields::combinations(&[axis.parse().unwrap()]).remove(0)
}

#[test]
fn values_are_toml_and_commas_within_brackets_part_nothing() {
    let axis: Axis = "a.b = 1, 2.5,true,relu,[3,4],{ type = \"sgd\", x = [1,2] },\"p,q\""
        .parse()
        .unwrap();
    let values: Vec<String> = axis.values.iter().map(shown).collect();
    let wanted = [
        "1",
        "2.5",
        "true",
        "relu",
        "[3,4]",
        "{ type = \"sgd\", x = [1,2] }",
        "p,q",
    ];
    assert_eq!(
        (axis.field.as_str(), values.as_slice()),
        ("a.b", wanted.map(str::to_owned).as_slice())
    );
    for wrong in [
        "train.batch",
        "train.batch=",
        "train.batch=1,,2",
        "=1",
        "train..batch=1",
    ] {
        let error = wrong.parse::<Axis>().unwrap_err().to_string();
        assert!(error.contains(&format!("found `{wrong}`")), "{error}");
    }
}

#[test]
fn the_last_field_is_the_fastest() {
    let axes = ["train.batch=1,2", "train.seed=3,4,5"].map(|axis| axis.parse().unwrap());
    let all: Vec<String> = fields::combinations(&axes)
        .iter()
        .map(|settings| {
            settings
                .iter()
                .map(|s| shown(&s.value))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(all, ["1 3", "1 4", "1 5", "2 3", "2 4", "2 5"]);
}

#[test]
fn fields_are_set_where_their_paths_lead() {
    let with = |axis: &str| fields::apply(&base(), Path::new("c.toml"), &settings(axis)).unwrap();
    assert_eq!(
        with("train.optimizer.learning_rate=0.5")
            .train
            .optimizer
            .learning_rate(),
        0.5
    );
    assert_eq!(
        with("train.batch=all").train.batch,
        crate::recipe::Batch::All
    );
    let wider = with("layer.a.b.units=9");
    assert_eq!(
        wider.layer("a.b").map(|layer| layer.output_shape.clone()),
        Some(vec![9])
    );
    assert!(
        wider.text.contains("units = 9       # few"),
        "{}",
        wider.text
    );
    assert_eq!(with("layer.dense_2.init=zeros").layers()[0].init, None);
    assert_eq!(
        with("train.head.dense_2.weight=2").train.heads[0].weight,
        2.0
    );
    // A table that is not there is made.
    assert_eq!(with("train.penalty.l2=0.25").train.penalty.l2, 0.25);
    let list = RECIPE.replace("[[layer]]\nname = \"a.b\"\ntype = \"dense\"\nunits = 4       # few\nactivation = \"tanh\"\n[[layer]]\ntype = \"dense\"\nunits = 2\nactivation = \"softmax\"\n", "");
    let list = format!(
        "layer = [{{ type = \"dense\", units = 3 }}, {{ type = \"dense\", units = 2, activation = \"softmax\" }}]\n{list}"
    );
    let base = Recipe::parse(&list, Path::new("list.toml")).unwrap();
    let wider = fields::apply(
        &base,
        Path::new("list.toml"),
        &settings("layer.dense_1.units=7"),
    );
    assert_eq!(wider.unwrap().layers()[0].output_shape, [7]);
}

#[test]
fn what_makes_no_recipe_is_refused_with_its_fields_and_line() {
    let scratch = Scratch::new("refused");
    let error = |axes: &[&str]| {
        let combinations = scratch.plan(axes).combinations(&base());
        combinations.unwrap_err().to_string()
    };
    for (axes, words) in [
        (
            &["train.batch=16,0"][..],
            &[
                "circles.toml with train.batch=0",
                "from 1 to 65536",
                "line 22",
            ][..],
        ),
        (
            &["train.batch=16", "layer.dense_2.units=2,3"],
            &[
                "with train.batch=16, layer.dense_2.units=3, line",
                "2 outputs",
            ],
        ),
        (&["train.bach=16"], &["unknown field `bach`"]),
        (
            &["layer.c.units=1"],
            &[
                "a field by its path",
                "found `layer.c.units`",
                "layers: a.b, dense_2",
            ],
        ),
        (&["train.seed.x=1"], &["found `train.seed.x`"]),
        (
            &["data.validation=0.1,0"],
            &[
                "[data]: validation: wanted above 0",
                "found 0",
                "--set data.validation=0.2",
            ],
        ),
    ] {
        let error = error(axes);
        for word in words {
            assert!(error.contains(word), "no {word:?} in: {error}");
        }
    }
}

/// Stopped inside of a run, a search goes on there; another one with more values trains only those.
#[test]
fn a_search_goes_on_where_it_was_stopped() {
    let scratch = Scratch::new("resume");
    let axes = [
        "layer.a.b.units=1,6",
        "train.optimizer.learning_rate=0.05,1e300",
    ];
    let search = |plan: &Plan, counter: &Counter| {
        let combinations = plan.combinations(&base()).unwrap();
        plan.run(&combinations, counter)
    };
    let whole = Plan {
        directory: scratch.0.join("whole"),
        ..scratch.plan(&axes)
    };
    let counter = Counter::new(usize::MAX);
    let wanted = search(&whole, &counter).unwrap();
    assert_eq!(counter.counts()[..2], [8, 0]);

    let plan = scratch.plan(&axes);
    let counter = Counter::new(6);
    assert!(matches!(search(&plan, &counter), Err(SearchError::Stopped)));
    assert_eq!(counter.counts(), [1, 0, 6]);
    let counter = Counter::new(usize::MAX);
    let found = search(&plan, &counter).unwrap();
    assert_eq!(counter.counts()[..2], [7, 1]);
    let plain = |runs: &[Vec<Record>]| -> Vec<Record> {
        let seconds = 0.0;
        runs.iter()
            .flatten()
            .cloned()
            .map(|run| Record { seconds, ..run })
            .collect()
    };
    assert_eq!(plain(&found), plain(&wanted));
    // The same run, whether it was stopped or not.
    let path = |plan: &Plan| {
        let second = &wanted[0][1];
        let run = plan.directory.join("search").join(&second.key);
        std::fs::read(
            run.join(format!("seed-{}", second.seed))
                .join(paths::CHECKPOINT),
        )
        .unwrap()
    };
    assert!(path(&plan) == path(&whole));

    let more = Plan {
        jobs: 3,
        starts: 3,
        ..plan.clone()
    };
    let counter = Counter::new(usize::MAX);
    let found = search(&more, &counter).unwrap();
    assert_eq!(counter.counts()[..2], [4, 8]);
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3; 4]);

    // A rate of 1e300 diverges, and comes after all that do not.
    let order = ranked(Metric::ValLoss, &wanted).unwrap();
    let mean = |at: usize| Summary::of(Metric::ValLoss, &wanted[at]).map(|loss| loss.mean);
    assert!(mean(order[0]).unwrap() < mean(order[1]).unwrap());
    assert_eq!((mean(order[2]), mean(order[3])), (None, None));
    assert!(wanted[1].iter().all(|run| run.val_loss.is_none()));
    // Of the weights that stayed, on what was held out; the test set was left alone.
    let combination = &whole.combinations(&base()).unwrap()[2];
    let options = Options {
        seed: Some(6),
        directory: scratch.0.join("plain"),
        ..whole.options(PathBuf::new())
    };
    let outcome = train(&combination.recipe, &options, &mut ()).unwrap();
    let last = outcome.history.last().unwrap();
    assert_eq!(wanted[2][1].val_loss, last.val_loss);
    assert_eq!(wanted[2][1].val_accuracy, last.val_accuracy);
}

/// The best is trained on what was held out as well, for as many epochs as were best, and then the test set is read.
#[test]
fn the_best_is_trained_again_on_all_samples() {
    let scratch = Scratch::new("retrain");
    let plan = scratch.plan(&[
        "train.stop={ patience = 1, min_delta = 0.05 }",
        "train.epochs=60",
    ]);
    let combinations = plan.combinations(&base()).unwrap();
    let watch = Counter::new(usize::MAX);
    let runs = plan.run(&combinations, &watch).unwrap();
    let record = Record::best(Metric::ValLoss, &runs[0]).unwrap();
    let best = record.best_epoch.unwrap();
    assert_eq!(record.epochs, best + 1);
    let (recipe, outcome) = plan.retrain(&combinations[0], record, &watch).unwrap();
    assert_eq!((recipe.train.stop, recipe.train.epochs), (None, best));
    assert_eq!(
        (recipe.data.validation, recipe.train.seed),
        (0.0, record.seed)
    );
    // The table's first four fifths, of which a quarter had been held out.
    let rows: usize = 160 * 4 / 5;
    assert_eq!(outcome.progress.step, (best * rows.div_ceil(16)) as u64);
    assert_eq!(
        (outcome.validation, outcome.test.unwrap().samples),
        (None, 160 - rows)
    );
    let text = std::fs::read_to_string(plan.directory.join("search/best/recipe.toml")).unwrap();
    assert_eq!(text, recipe.text);
}

#[test]
fn means_and_spreads_by_hand() {
    let run = |val_loss: Option<f64>, val_accuracy| Record {
        fields: String::new(),
        seed: 0,
        val_loss,
        val_accuracy,
        epochs: 1,
        best_epoch: None,
        parameters: 1,
        seconds: 0.0,
        key: String::new(),
    };
    let runs = [
        run(Some(1.0), Some(0.5)),
        run(None, None),
        run(Some(3.0), Some(0.9)),
    ];
    let loss = Summary::of(Metric::ValLoss, &runs).unwrap();
    assert_eq!(
        (loss.mean, loss.deviation, loss.best),
        (2.0, Some(2f64.sqrt()), 1.0)
    );
    let accuracy = Summary::of(Metric::ValAccuracy, &runs).unwrap();
    assert_eq!((accuracy.mean, accuracy.best), (0.7, 0.9));
    assert_eq!(
        Summary::of(Metric::ValLoss, &runs[..1]).unwrap().deviation,
        None
    );
    assert_eq!(Summary::of(Metric::ValLoss, &runs[1..2]), None);
    // Diverged once is worse than worse; of equal accuracy the lower loss.
    let steady = vec![run(Some(9.0), Some(0.7))];
    let lower = vec![run(Some(8.0), Some(0.7))];
    let all = [runs.to_vec(), steady, lower];
    assert_eq!(ranked(Metric::ValAccuracy, &all).unwrap(), [2, 1, 0]);
    let none = [vec![run(None, None)]];
    assert!(matches!(
        ranked(Metric::ValLoss, &none),
        Err(SearchError::AllDiverged)
    ));
}
