//! `mote train` and what goes on from a run: its weights into another training, into a table, into a blob.
#![cfg(feature = "train")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder of its own with prices of 120 days that wander; removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("mote-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut text = "Date,Close\n".to_owned();
        for day in 0..120u32 {
            let close = 50.0 + f64::from(day) * 0.2 + f64::from(day * 37 % 11);
            let (month, day) = (1 + day / 28, 1 + day % 28);
            text += &format!("2020-{month:02}-{day:02},{close}\n");
        }
        std::fs::write(folder.join("prices.csv"), text).expect("prices");
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// `recipe` with a replacement, as a file of its own.
    fn recipe(&self, name: &str, from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(root().join("models/stock-rnn.toml")).expect("a recipe");
        assert!(text.contains(from), "{from}");
        let path = self.path(name);
        std::fs::write(&path, text.replacen(from, to, 1)).expect("a recipe");
        path
    }

    fn mote(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mote"))
            .args(arguments)
            .current_dir(root())
            .output()
            .expect("mote starts")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.mote(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).expect("stdout is JSON")
    }

    fn refused(&self, arguments: &[&str], wanted: &[&str]) {
        let output = self.mote(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} was taken");
        for words in wanted {
            assert!(errors.contains(words), "no {words:?} in: {errors}");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A run is the whole model: another training starts from it, it is shown and exported without its recipe's file.
#[test]
fn a_run_holds_recipe_and_weights() {
    let scratch = Scratch::new("run");
    let (prices, first, second) = (
        scratch.path("prices.csv"),
        scratch.path("first"),
        scratch.path("second"),
    );
    let train = |recipe: &str, out: &str, more: &[&str]| {
        let fixed = [
            "train", recipe, "--data", &prices, "--epochs", "2", "--json", "--out", out,
        ];
        scratch.json(&[&fixed, more].concat())
    };
    let wider = scratch.recipe("wider.toml", "units = 5", "units = 6");
    let recipe = scratch.recipe("first.toml", "seed =", "keep = 1\nseed =");
    let outcome = train(&recipe, &first, &[]);
    assert_eq!(outcome["start"], Value::Null);
    let (test, fits) = (&outcome["test"], &outcome["test"]["fits"][0]);
    assert_eq!(
        (&test["metrics"], &outcome["validation"]),
        (&Value::Null, &Value::Null)
    );
    for key in ["r2", "mae", "rmse", "mape"] {
        assert!(fits[key].is_f64(), "{key}: {fits}");
    }
    for epoch in ["epoch-0001.safetensors", "epoch-0002.safetensors"] {
        assert!(Path::new(&first).join(epoch).is_file(), "{epoch}");
    }

    let outcome = train("models/stock-rnn.toml", &second, &["--start", &first]);
    let start = &outcome["start"];
    assert!(start["file"].as_str().expect("a file").starts_with(&first));
    assert_eq!(start["taken"].as_array().expect("taken").len(), 5);
    assert_eq!(start["not_taken"], Value::Array(Vec::new()));
    let outcome = train(
        &wider,
        &second,
        &["--start", &format!("{first}/epoch-0001.safetensors")],
    );
    assert_eq!(
        outcome["start"]["taken"],
        serde_json::json!(["dense_1.bias"])
    );
    let missed = &outcome["start"]["not_taken"][0];
    let wanted = serde_json::json!({"name": "rnn_1.weight_ih", "wanted": [6, 1], "found": [5, 1]});
    assert_eq!(missed, &wanted);

    let run = scratch.json(&["inspect", &first, "--json"]);
    assert_eq!(
        (&run["run"]["name"], &run["run"]["epoch"]),
        (&"stock-rnn".into(), &2.into())
    );
    assert_eq!(
        (&run["parameters"], run["tensors"].as_array().map(Vec::len)),
        (&41.into(), Some(5))
    );
    scratch.refused(&["inspect", &first, "--on", "qemu"], &["mote export"]);

    // The recipe's file is gone.
    std::fs::remove_file(&recipe).expect("removed");
    let out = scratch.path("models");
    let export = [
        "export", &first, "--data", &prices, "--format", "f32", "--out", &out, "--json",
    ];
    assert_eq!(scratch.json(&export)["models"][0]["format"], "f32");
    let again = train(&first, &second, &[]);
    assert_eq!(again["name"], "stock-rnn");
}

/// Every combination is a row of the table and of the answer, the best first; what has finished is not trained again.
#[test]
fn a_search_finds_the_best_on_what_is_held_out() {
    let scratch = Scratch::new("search");
    let (prices, out) = (scratch.path("prices.csv"), scratch.path("out"));
    let fixed = [
        "search",
        "models/stock-rnn.toml",
        "--data",
        &prices,
        "--epochs",
        "3",
        "--out",
        &out,
    ];
    let axes = [
        "--set",
        "data.validation=0.2",
        "--set",
        "layer.rnn_1.units=2,5",
    ];
    let more = ["--starts", "2", "--jobs", "2", "--retrain", "--json"];
    let arguments = [&fixed[..], &axes, &more].concat();
    let found = scratch.json(&arguments);
    assert_eq!(
        (&found["recipe"], &found["metric"]),
        (&"stock-rnn".into(), &"val_loss".into())
    );
    let combinations = found["combinations"].as_array().expect("combinations");
    let means: Vec<f64> = combinations
        .iter()
        .map(|row| row["val_loss"]["mean"].as_f64().expect("a mean"))
        .collect();
    assert!(means.len() == 2 && means[0] <= means[1], "{means:?}");
    for row in combinations {
        assert_eq!(
            (&row["settings"]["data.validation"], &row["diverged"]),
            (&"0.2".into(), &0.into())
        );
        assert_eq!(row["runs"].as_array().map(Vec::len), Some(2));
        assert!(row["val_loss"]["deviation"].is_f64());
    }
    let best = &combinations[0]["settings"]["layer.rnn_1.units"];
    assert_eq!(&found["retrained"]["settings"]["layer.rnn_1.units"], best);
    assert!(found["retrained"]["test_loss"].is_f64());
    let table = std::fs::read_to_string(format!("{out}/search.csv")).expect("a table");
    assert_eq!(table.lines().count(), 5, "{table}");

    // The second time nothing is trained: the answers are the same, to the seconds that runs took.
    let again = scratch.json(&arguments);
    assert_eq!(again["combinations"], found["combinations"]);
    assert_eq!(again["retrained"], found["retrained"]);
    // The best is a run like any other.
    let run = scratch.json(&["inspect", &format!("{out}/search/best"), "--json"]);
    assert_eq!(run["run"]["epoch"], 3);

    let without = [&fixed[..], &["--set", "train.batch=4,8"]].concat();
    scratch.refused(
        &without,
        &["[data]: validation", "--set data.validation=0.2"],
    );
    let wrong = [&fixed[..], &["--set", "train.batch"]].concat();
    scratch.refused(&wrong, &["--set", "FIELD=VALUE"]);
}

#[test]
fn a_start_that_does_not_fit_is_refused() {
    let scratch = Scratch::new("misfit");
    let (prices, run) = (scratch.path("prices.csv"), scratch.path("run"));
    let lstm = [
        "train",
        "models/stock-lstm.toml",
        "--data",
        &prices,
        "--epochs",
        "1",
        "--out",
        &run,
    ];
    assert!(scratch.mote(&lstm).status.success());
    let named = scratch.recipe("named.toml", "units = 1\n", "units = 1\nname = \"price\"\n");
    let start = ["train", &named, "--data", &prices, "--start", &run];
    scratch.refused(
        &start,
        &[
            "rnn_1.weight_ih [5, 1]",
            "dense_1.bias [1]",
            "name the layers",
        ],
    );
    let both = ["train", &named, "--resume", "--start", &run];
    scratch.refused(&both, &["--resume", "--start"]);
}
