//! What other programs check this project by: the keys of `--json`, exit codes, and errors that say what to do.
//!
//! Where MNIST or QEMU is missing a test says so and passes; with CI=true it fails instead.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn mote(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mote"))
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("mote starts")
}

/// What `mote … --json` prints, or `None` where this machine lacks something and need not have it.
fn json(arguments: &[&str]) -> Option<Value> {
    let output = mote(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let lacking = errors.contains("scripts/setup");
        let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(lacking && !must, "{arguments:?}: {errors}");
        eprintln!("skipped: {errors}");
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).expect("stdout is JSON"))
}

fn refused(arguments: &[&str], wanted: &str) {
    let output = mote(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} was taken");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote a result");
    assert!(errors.contains(wanted), "{arguments:?}: {errors}");
    assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
}

#[test]
fn inspect_gives_every_layer_and_the_totals() {
    let model = json(&["inspect", "models/mnist-cnn-i8.mote", "--json"]).expect("needs nothing");
    let layers = model["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 8);
    for layer in layers {
        for key in ["index", "parameters", "flash", "ram", "macs"] {
            assert!(layer[key].is_u64(), "{key} of {layer}");
        }
        assert!(layer["output_shape"].is_array(), "{layer}");
    }
    let sum = |key: &str| layers.iter().filter_map(|l| l[key].as_u64()).sum::<u64>();
    assert_eq!(sum("macs"), 863_400);
    assert_eq!(model["macs"], 863_400);
    assert_eq!(sum("parameters"), 82_934);
    let bytes = std::fs::metadata(root().join("models/mnist-cnn-i8.mote")).expect("the model");
    assert_eq!(model["flash"], bytes.len());
    assert_eq!(model["arena_train"], 0);
    assert!(model["arena_infer"].as_u64().is_some_and(|bytes| bytes > 0));
}

#[test]
fn inspect_tells_each_layer_s_kernel_and_why_it_is_plain() {
    let of = |path: &str| {
        let model = json(&["inspect", path, "--json"]).expect("needs nothing");
        let layers = model["layers"].as_array().expect("layers").iter();
        let text = |layer: &Value, key: &str| layer[key].as_str().map(str::to_owned);
        let kernels: Vec<_> = layers
            .map(|layer| {
                (
                    text(layer, "kernel").expect("a kernel"),
                    text(layer, "reason"),
                )
            })
            .filter(|(kernel, _)| kernel != "none")
            .collect();
        (text(&model, "layout").expect("a layout"), kernels)
    };
    let (layout, kernels) = of("models/mnist-cnn-i8-m4.mote");
    assert_eq!(layout, "armv7em");
    assert_eq!(kernels, vec![("packed".to_owned(), None); 4]);
    let (layout, kernels) = of("models/mnist-cnn-i8.mote");
    assert_eq!(layout, "plain");
    assert_eq!(kernels.len(), 4);
    for (kernel, reason) in kernels {
        assert_eq!(kernel, "plain");
        assert!(reason.is_some_and(|reason| reason.contains("--for m4")));
    }
}

#[test]
fn plan_gives_every_buffer_and_parts_that_sum_up() {
    let arguments = [
        "plan",
        "models/mnist-mlp-head.mote",
        "--train",
        "last:1 momentum=0.9",
        "--json",
    ];
    let plan = json(&arguments).expect("needs nothing");
    for arena in [&plan["inference"], &plan["training"]["arena"]] {
        let parts = arena["parts"].as_object().expect("parts");
        let keys: Vec<&str> = parts.keys().map(String::as_str).collect();
        let wanted = [
            "back_steps",
            "buffers",
            "copies",
            "heads",
            "learnt",
            "operands",
            "padding",
            "picks",
            "slots",
            "steps",
            "table",
            "weights",
        ];
        assert_eq!(keys, wanted);
        let sum: u64 = parts.values().filter_map(Value::as_u64).sum();
        assert_eq!(arena["total"], sum);
        assert!(arena["ratio"].as_f64().is_some_and(|ratio| ratio >= 1.0));
        for buffer in arena["buffers"].as_array().expect("buffers") {
            for key in ["bytes", "first", "last"] {
                assert!(buffer[key].is_u64(), "{key} of {buffer}");
            }
            assert!(buffer["owner"].is_string() && buffer["kind"].is_string());
            assert_eq!(buffer["offset"].is_null(), buffer["shares"].is_string());
        }
    }
    let learnt = plan["training"]["learnt"].as_array().expect("learnt");
    let bytes: u64 = learnt.iter().filter_map(|l| l["bytes"].as_u64()).sum();
    // 128 · 10 weights and 10 biases, and the velocity of each.
    assert_eq!(bytes, 4 * 1290);
    assert_eq!(plan["training"]["arena"]["parts"]["copies"], bytes);
    assert!(plan["training"]["arena"]["header"].is_null());
}

#[test]
fn eval_gives_accuracy_samples_and_the_same_digest_everywhere() {
    let eval = |place: &str| {
        let model = "models/mnist-mlp-i8.mote";
        json(&[
            "eval", model, "--on", place, "--limit", "40", "--top", "2", "--json",
        ])
    };
    let Some(host) = eval("host") else { return };
    assert_eq!(host["samples"], 40);
    assert!(host["accuracy"].as_f64().is_some_and(|share| share > 0.9));
    assert_eq!(host["digest"].as_str().map(str::len), Some(16));
    let Some(device) = eval("qemu:an386") else {
        return;
    };
    for key in ["accuracy", "samples", "digest", "metrics"] {
        assert_eq!(host[key], device[key], "{key}");
    }
    let metrics = &host["metrics"];
    assert_eq!(metrics["accuracy"], host["accuracy"]);
    assert_eq!(metrics["top"]["k"], 2);
    assert!(metrics["top"]["share"].as_f64() >= host["accuracy"].as_f64());
    let classes = metrics["classes"].as_array().expect("classes");
    assert_eq!(classes.len(), 10);
    let samples = classes.iter().filter_map(|class| class["samples"].as_u64());
    assert_eq!(samples.sum::<u64>(), 40);
    for key in ["precision", "recall", "f1", "auc"] {
        assert!(metrics[key].is_f64() && classes[1][key].is_f64(), "{key}");
    }
}

#[test]
fn tune_gives_accuracy_before_and_after_and_the_weights_digest() {
    let saved = std::env::temp_dir().join(format!("mote-tuned-{}.mote", std::process::id()));
    let path = saved.to_string_lossy();
    let arguments = [
        "tune",
        "models/mnist-mlp-head.mote",
        "--shift",
        "rot90",
        "--samples",
        "300",
        "--test",
        "100",
        "--checkpoints",
        "2",
        "--json",
        "--save",
        &path,
    ];
    let Some(tuned) = json(&arguments) else {
        return;
    };
    let share = |key: &str| tuned[key].as_f64().expect("a share");
    assert!(
        share("accuracy_after") > share("accuracy_before") + 0.2,
        "{tuned}"
    );
    assert_eq!(tuned["digest"].as_str().map(str::len), Some(16));
    assert_eq!(tuned["curve"].as_array().map(Vec::len), Some(4));
    // 300 steps in stretches of 3, each with its loss and its hits before the updates.
    let course = tuned["course"].as_array().expect("the steps' curve");
    assert_eq!(course.len(), 100);
    assert_eq!(course[99]["step"], 300);
    assert!(course[0]["loss"].as_f64() > course[99]["loss"].as_f64());

    // The saved model answers as the tuned one did.
    let arguments = [
        "eval", &path, "--shift", "rot90", "--limit", "100", "--json",
    ];
    let again = json(&arguments).expect("the data were there");
    std::fs::remove_file(&saved).expect("the saved model is there");
    assert_eq!(again["digest"], tuned["digest_after"]);
    assert_eq!(again["accuracy"], tuned["accuracy_after"]);
}

#[test]
fn what_cannot_be_done_is_refused_with_words() {
    refused(&["inspect", "LICENSE-MIT"], "not a .mote model");
    // What ends in .toml is read as a recipe.
    refused(&["inspect", "Cargo.toml"], "unknown field `profile`");
    refused(&["inspect", "models/none.mote"], "mote export");
    let unknown = [
        "plan",
        "models/mnist-mlp-f32.mote",
        "--train",
        "layers:dense_9",
    ];
    refused(&unknown, "dense_1, dense_2");
    let momentum = [
        "plan",
        "models/mnist-mlp-i8.mote",
        "--train",
        "all momentum=0.9",
    ];
    refused(&momentum, "weights in int8 learn by plain SGD");
    let packed = ["plan", "models/mnist-cnn-i8-m4.mote", "--train", "all"];
    refused(&packed, "packed ones cannot");
    refused(&["tune", "models/mnist-cnn-i8.mote"], "no training plan");
    refused(
        &["eval", "models/mnist-cnn-i8.mote", "--on", "qemu:z80"],
        "an386",
    );
    refused(
        &[
            "eval",
            "models/mnist-cnn-i8.mote",
            "--data",
            "no/such/folder",
        ],
        "--data",
    );
    refused(
        &["eval", "models/mnist-cnn-i8.mote", "--shift", "sideways"],
        "rot90",
    );
    let wanted = if cfg!(feature = "train") {
        "no-such-recipe.toml"
    } else {
        "built without training"
    };
    refused(&["train", "no-such-recipe.toml"], wanted);
    refused(
        &[
            "export",
            "models/mnist-cnn.toml",
            "--checkpoint",
            "none.safetensors",
        ],
        "mote train",
    );
    let absurd = [
        "tune",
        "models/mnist-mlp-head.mote",
        "--learning-rate=-1",
        "--samples=1",
        "--test=1",
    ];
    refused(&absurd, "rates must be finite and at least 0");
}

/// Prices of 120 days that wander; no data set is needed.
fn prices(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("mote-{name}-{}.csv", std::process::id()));
    let mut text = "Date,Close\n".to_owned();
    for day in 0..120u32 {
        let close = 50.0 + f64::from(day) * 0.2 + f64::from(day * 37 % 11);
        text += &format!("2020-{:02}-{:02},{close}\n", 1 + day / 28, 1 + day % 28);
    }
    std::fs::write(&path, text).expect("a folder for temporary files");
    path
}

/// Predict, then learn, a step a day: the same bits on the host and on an emulated Cortex-M4F, in f32 and in Q16.
#[test]
fn stock_walks_forward_alike_on_the_host_and_on_a_device() {
    let path = prices("stock");
    let file = path.to_string_lossy();
    for model in ["models/stock-rnn-f32.mote", "models/stock-gru-q16.mote"] {
        let walk = |place: &str| json(&["stock", &file, "--model", model, "--on", place, "--json"]);
        let host = walk("host").expect("needs nothing");
        assert_eq!(host["test_days"], 24, "{model}");
        // 86 days with ten before them, then a step for each day that is tested on.
        assert_eq!(host["steps"], 86 + 24, "{model}");
        for forecast in ["frozen", "online", "naive"] {
            let fit = &host[forecast];
            assert!(fit["r2"].is_f64() && fit["mae"].is_f64() && fit["rmse"].is_f64());
        }
        assert!(host["naive"]["direction"].is_null());
        let Some(device) = walk("qemu:an386") else {
            break;
        };
        for key in [
            "digest",
            "weights_digest",
            "frozen",
            "online",
            "losses",
            "scale",
        ] {
            assert_eq!(host[key], device[key], "{model}: {key}");
        }
        assert!(device["stack"]["serve"].is_u64());
    }
    std::fs::remove_file(path).expect("it was there");
}

#[test]
fn stock_says_what_is_wrong_with_a_file() {
    let path = prices("short");
    let file = path.to_string_lossy().into_owned();
    let text = std::fs::read_to_string(&path).expect("it was written");
    refused(&["stock", &file, "--column", "open"], "--column");
    refused(
        &["stock", &file, "--before", "2020-01-12"],
        "Take a longer series",
    );
    refused(
        &["stock", &format!("{file}:AAPL")],
        "no column that tells symbols apart",
    );
    refused(&["stock", "none.csv"], "Name a CSV file");
    refused(
        &["stock", &file, "--model", "models/mnist-mlp-f32.mote"],
        "models/stock-*.toml",
    );
    std::fs::write(&path, text.replace("2020-02-02,", "2020-02-01,")).expect("it is there");
    refused(&["stock", &file], "row 31: 2020-02-01 for the second time");
    std::fs::remove_file(path).expect("it was there");
}

/// Who wrote which digit is known only where QMNIST's file lies.
#[test]
fn personalize_counts_the_same_errors_on_the_host_and_on_a_device() {
    let personalize = |place: &str| {
        let arguments = [
            "personalize",
            "--writers",
            "2",
            "--samples",
            "10,20",
            "--passes",
            "2",
            "--on",
            place,
            "--json",
        ];
        let output = mote(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        if errors.contains("no qmnist-writer-ids") {
            eprintln!("skipped: {errors}");
            return None;
        }
        json(&arguments)
    };
    let Some(host) = personalize("host") else {
        return;
    };
    assert_eq!(host["writers"], 2);
    assert_eq!(host["trials"].as_array().map(Vec::len), Some(4));
    for row in host["results"].as_array().expect("one for each count") {
        let before = &row["before"];
        assert!(before["low"].as_f64() <= before["rate"].as_f64(), "{row}");
        assert_eq!(before["tests"], row["after"]["tests"]);
    }
    let Some(device) = personalize("qemu:an386") else {
        return;
    };
    for key in ["digest", "results", "trials"] {
        assert_eq!(host[key], device[key], "{key}");
    }
    // The image holds its tables in flash.
    assert!(device["arena"].as_u64() < host["arena"].as_u64());
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("mote-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}

#[test]
fn keys_sign_packages_that_show_verifies() {
    let folder = folder("package");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (key, other, package) = (path("release.pem"), path("other.pem"), path("new.motp"));
    let made = json(&["key", "new", &key, "--json"]).expect("needs nothing");
    let public = made["public_key"].as_str().expect("digits").to_owned();
    assert_eq!(public.len(), 64);
    assert_eq!(made["key"], public[..16]);
    assert_eq!(json(&["key", "show", &key, "--json"]), Some(made));
    refused(&["key", "new", &key], "never overwritten");
    json(&["key", "new", &other, "--json"]).expect("needs nothing");

    let model = "models/stock-rnn-f32.mote";
    let arguments = [
        "package",
        model,
        "--key",
        &key,
        "--version",
        "7",
        "--floor",
        "3",
    ];
    let made = json(&[&arguments[..], &["-o", &package, "--json"]].concat());
    let made = made.expect("needs nothing");
    assert_eq!((&made["version"], &made["floor"]), (&7.into(), &3.into()));
    assert_eq!(made["key"], public[..16]);
    for digest in ["inference", "training"] {
        assert_eq!(made[digest].as_str().map(str::len), Some(16), "{digest}");
    }
    let show = |more: &[&str]| json(&[&["package", "--show", &package, "--json"], more].concat());
    let shown = show(&["--public-key", &public]).expect("needs nothing");
    assert_eq!(shown, made);
    assert!(show(&[]).expect("needs nothing")["verified"].is_null());
    let by_other = ["package", "--show", &package, "--key", &other];
    refused(&by_other, "is signed by key");
    let mut bytes = std::fs::read(&package).expect("it was written");
    assert_eq!(
        bytes.len() as u64,
        made["bytes"].as_u64().expect("a length")
    );
    bytes[300] ^= 1;
    std::fs::write(&package, bytes).expect("it is there");
    refused(&["package", "--show", &package], "was changed");
    refused(&["package", model, "--floor", "2"], "below the floor");
    std::fs::remove_dir_all(folder).expect("it was there");
}

#[test]
fn device_says_where_an_agent_can_be() {
    refused(
        &["device", "info", "--on", "host"],
        "an agent runs on a device",
    );
    refused(
        &["device", "test", "--on", "host"],
        "faults are tried in QEMU",
    );
    refused(
        &["device", "test", "--on", "qemu:an386", "--only", "fire"],
        "no fault has these words",
    );
    refused(
        &["device", "info", "--on", "tcp:127.0.0.1:1"],
        "cannot connect to 127.0.0.1:1",
    );
    refused(
        &["device", "info", "--on", "serial:/none", "--flash", "x"],
        "the flash of a board in QEMU",
    );
}

/// What streams past is the same on the host and on an agent; and what was learnt goes into a file and back.
#[test]
fn device_streams_learns_saves_and_takes_weights() {
    let folder = folder("device");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (flash, weights) = (path("board.flash"), path("learnt.safetensors"));
    let model = "models/mnist-mlp-head.mote";
    let stream = |on: &[&str]| {
        let common = [
            "device", model, "--limit", "25", "--shift", "rot90", "--json",
        ];
        let output = mote(&[&common[..], on].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(errors.contains("scripts/setup") && !must, "{errors}");
            eprintln!("skipped: {errors}");
            return None;
        }
        let lines = String::from_utf8(output.stdout).expect("text");
        let events = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        Some(events.collect::<Vec<Value>>())
    };
    let (Some(here), Some(there)) = (
        stream(&["--on", "host"]),
        stream(&["--on", "qemu:an386", "--flash", &flash]),
    ) else {
        return;
    };
    assert_eq!(there.len(), 27);
    assert_eq!(there[0]["unit"], "instructions");
    let layers = there[0]["layers"].as_array().expect("layers");
    assert!(
        !layers.is_empty()
            && layers
                .iter()
                .any(|layer| layer["count"].as_u64() > Some(1000))
    );
    for (here, there) in here.iter().zip(&there).skip(1) {
        for key in ["event", "label", "prediction", "loss", "accuracy", "digest"] {
            assert_eq!(here[key], there[key], "{key}");
        }
    }
    let at = ["--on", "qemu:an386", "--flash", &flash, "--json"];
    let info = json(&[&["device", "info"][..], &at].concat()).expect("as before");
    assert_eq!(info["active"], 0);
    assert_eq!(info["unlocked"], true);
    assert_eq!(info["slots"][0]["state"], "active");
    // What was learnt was not saved, and went with the emulator.
    let read = json(&[&["device", "read", &weights][..], &at].concat()).expect("as before");
    let own = read["digest"].clone();
    assert_ne!(own, there[26]["digest"]);
    let write = ["device", "write", &weights, "--model", model, "--save"];
    let written = json(&[&write[..], &at].concat()).expect("as before");
    assert_eq!(written["digest"], own);
    let restored = json(&[&["device", "restore"][..], &at].concat()).expect("as before");
    assert_eq!(restored["digest"], own);
    assert_eq!(restored["store"]["state"], "kept");
    refused(
        &[&["device", "rollback"][..], &at].concat(),
        "no model before",
    );
    std::fs::remove_dir_all(folder).expect("it was there");
}
