mod table;
mod transfer;

use super::*;

mod pseudo;

const RECIPE: &str = r#"
name = "tiny"
[data]
set = "mnist"
validation = 0.2
augment = { shift = 1, rotate = 5 }
[[layer]]
type = "conv2d"
filters = 2
kernel = 4
stride = 2
padding = "same"
activation = "relu"
[[layer]]
type = "flatten"
[[layer]]
type = "dropout"
rate = 0.2
[[layer]]
type = "dense"
units = 10
activation = "softmax"
[train]
loss = "cross_entropy"
epochs = 3
batch = 16
seed = 7
optimizer = { type = "adamw", learning_rate = 0.01, weight_decay = 0.01 }
schedule = { type = "one_cycle" }
"#;

/// A folder of its own, with a small set of IDX files in it; removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("mote-{}-{name}", std::process::id()));
        std::fs::create_dir_all(folder.join("mnist")).unwrap();
        for (part, count) in [("train", 100u32), ("t10k", 40)] {
            let mut images = vec![0, 0, 8, 3];
            let mut labels = vec![0, 0, 8, 1];
            for size in [count, 28, 28] {
                images.extend(size.to_be_bytes());
            }
            labels.extend(count.to_be_bytes());
            // The class is the column of a bright bar: easy to learn.
            for sample in 0..count {
                let class = (sample * 7 % 10) as u8;
                labels.push(class);
                let bar = |pixel: u32| pixel % 28 / 2 == u32::from(class) + 2;
                images
                    .extend((0..784).map(|pixel| if bar(pixel) { 200 } else { pixel as u8 % 16 }));
            }
            let file = |kind: &str| folder.join(format!("mnist/{part}-{kind}"));
            std::fs::write(file("images-idx3-ubyte"), images).unwrap();
            std::fs::write(file("labels-idx1-ubyte"), labels).unwrap();
        }
        Self(folder)
    }

    fn options(&self, run: &str) -> Options {
        Options {
            device: DeviceChoice::Cpu,
            directory: self.0.join(run),
            data: Some(self.0.clone()),
            ..Options::default()
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Stops after so many batches.
struct StopAfter(usize);

impl Observer for StopAfter {
    fn batch(&mut self, _epoch: usize, _running: &Running) -> ControlFlow<()> {
        self.0 -= 1;
        if self.0 == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

fn recipe() -> Recipe {
    Recipe::parse(RECIPE, Path::new("tiny.toml")).unwrap()
}

fn bytes(outcome: &Outcome) -> Vec<u8> {
    std::fs::read(&outcome.files.checkpoint).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let scratch = Scratch::new("seed");
    let run = |name: &str, seed| {
        let options = Options {
            seed: Some(seed),
            ..scratch.options(name)
        };
        bytes(&train(&recipe(), &options, &mut ()).unwrap())
    };
    let first = run("a", 7);
    assert!(first == run("b", 7), "two trainings from one seed differ");
    assert!(first != run("c", 8), "two trainings from two seeds agree");
}

/// Five batches an epoch: stopped inside of the first, at the end of it, and inside of the last.
#[test]
fn resumed_training_gives_the_bytes_of_uninterrupted_training() {
    let scratch = Scratch::new("resume");
    let whole = train(&recipe(), &scratch.options("whole"), &mut ()).unwrap();
    for stop in [2, 5, 13] {
        let options = scratch.options(&format!("stopped-{stop}"));
        let stopped = train(&recipe(), &options, &mut StopAfter(stop)).unwrap();
        assert_eq!((stopped.progress.step, stopped.test), (stop as u64, None));
        let options = Options {
            resume: true,
            ..options
        };
        let resumed = train(&recipe(), &options, &mut ()).unwrap();
        assert!(
            bytes(&resumed) == bytes(&whole),
            "stopped after {stop} batches"
        );
        assert_eq!(resumed.test, whole.test);
        let curve = |outcome: &Outcome| {
            outcome
                .history
                .iter()
                .map(|row| EpochRow {
                    seconds: 0.0,
                    ..*row
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(curve(&resumed), curve(&whole));
    }
}

/// Batches of 48 are two shards: 32 samples and 16.
#[test]
fn the_number_of_threads_does_not_matter() {
    let scratch = Scratch::new("threads");
    let text = RECIPE.replace("batch = 16", "batch = 48");
    let recipe = Recipe::parse(&text, Path::new("tiny.toml")).unwrap();
    let run = |threads: usize| {
        let directory = scratch.0.join(threads.to_string());
        let options = Options {
            threads: Some(threads),
            directory,
            ..scratch.options("")
        };
        bytes(&train(&recipe, &options, &mut ()).unwrap())
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

#[test]
fn learns_an_easy_set() {
    let scratch = Scratch::new("easy");
    let options = Options {
        epochs: Some(25),
        ..scratch.options("run")
    };
    let outcome = train(&recipe(), &options, &mut ()).unwrap();
    let test = outcome.test.unwrap();
    assert_eq!((test.samples, outcome.history.len()), (40, 25));
    // Chance is 0.1; the bars do not overlap, but augmentation moves them half their width.
    assert!(test.accuracy > Some(0.9), "{test:?}");
    assert!(outcome.history[0].train_loss > outcome.history[24].train_loss);
    for file in [&outcome.files.history, &outcome.files.picture] {
        assert!(file.is_file(), "{}", file.display());
    }
}

/// Batch normalization, a recurrent layer, shared weights and two heads learn, and go on where they stopped.
#[test]
fn graphs_learn_and_resume() {
    let scratch = Scratch::new("graph");
    let text = r#"
name = "graph"
[data]
set = "mnist"
[[layer]]
type = "conv2d"
filters = 2
kernel = 4
stride = 2
padding = "same"
[[layer]]
type = "batch_norm"
[[layer]]
type = "relu"
[[layer]]
type = "reshape"
shape = [14, 28]
[[layer]]
type = "gru"
units = 12
[[layer]]
name = "a"
type = "dense"
units = 12
activation = "tanh"
[[layer]]
name = "b"
type = "dense"
units = 12
shares = "a"
activation = "tanh"
[[layer]]
name = "class"
type = "dense"
units = 10
activation = "softmax"
[[layer]]
name = "picture"
type = "dense"
units = 784
inputs = ["b"]
activation = "sigmoid"
[train]
epochs = 12
batch = 40
seed = 3
optimizer = { type = "adam", learning_rate = 0.02 }
[[train.head]]
layer = "class"
loss = "cross_entropy"
[[train.head]]
layer = "picture"
loss = "binary_cross_entropy"
target = "image"
weight = 0.5
"#;
    let recipe = Recipe::parse(text, Path::new("graph.toml")).unwrap();
    let whole = train(&recipe, &scratch.options("whole"), &mut ()).unwrap();
    let losses: Vec<f64> = whole.history.iter().map(|row| row.train_loss).collect();
    assert!(losses[11] < 0.6 * losses[0], "{losses:?}");
    let options = scratch.options("stopped");
    train(&recipe, &options, &mut StopAfter(4)).unwrap();
    let options = Options {
        resume: true,
        ..options
    };
    let resumed = train(&recipe, &options, &mut ()).unwrap();
    assert!(bytes(&resumed) == bytes(&whole));
    // What the normalization met is kept, and is not what it began with.
    let checkpoint = crate::checkpoint::Checkpoint::load(&whole.files.checkpoint).unwrap();
    let mean = &checkpoint.tensors["batch_norm_1.running_mean"].values;
    assert!(mean.iter().any(|mean| mean.abs() > 0.01), "{mean:?}");
    assert!(!checkpoint.tensors.contains_key("b.weight"));
}

#[test]
fn a_rate_too_high_is_told_and_another_recipe_is_not_resumed() {
    let scratch = Scratch::new("errors");
    let text = RECIPE.replace(
        "type = \"adamw\", learning_rate = 0.01, weight_decay = 0.01",
        "type = \"sgd\", learning_rate = 1e30",
    );
    let wild = Recipe::parse(&text, Path::new("wild.toml")).unwrap();
    let error = train(&wild, &scratch.options("wild"), &mut ()).unwrap_err();
    assert!(
        matches!(error, TrainError::Diverged { epoch: 1, .. }),
        "{error}"
    );

    train(&recipe(), &scratch.options("run"), &mut StopAfter(1)).unwrap();
    let options = Options {
        resume: true,
        ..scratch.options("run")
    };
    let error = train(&wild, &options, &mut ()).unwrap_err();
    assert!(matches!(error, TrainError::OtherRecipe { .. }), "{error}");
}

/// Nothing becomes better by 0.2 a second time soon: training ends, and goes on after an interruption all the same.
#[test]
fn training_stops_early_and_keeps_the_best_weights() {
    let scratch = Scratch::new("early");
    let text = RECIPE.replace("epochs = 3", "epochs = 40").replace(
        "schedule = { type = \"one_cycle\" }",
        "stop = { monitor = \"val_loss\", patience = 2, min_delta = 0.2 }",
    );
    let parse = |text: &str| Recipe::parse(text, Path::new("tiny.toml")).unwrap();
    let recipe = parse(&text);
    let whole = train(&recipe, &scratch.options("whole"), &mut ()).unwrap();
    let best = whole.progress.best.unwrap();
    assert_eq!(whole.progress.epoch, best.epoch + 2);
    assert!(whole.progress.epoch < 40, "{:?}", whole.progress.epoch);
    let row = whole.history[best.epoch - 1];
    assert_eq!(row.val_loss, Some(best.value));

    // The weights that stay are those that a training of so many epochs ends with.
    let weights = |outcome: &Outcome| {
        let checkpoint = crate::checkpoint::Checkpoint::load(&outcome.files.checkpoint).unwrap();
        assert_eq!(checkpoint.best().count(), 0);
        let parameters = checkpoint.parameters();
        parameters
            .map(|(name, values)| (name.to_owned(), values.clone()))
            .collect::<Vec<_>>()
    };
    let options = Options {
        epochs: Some(best.epoch),
        ..scratch.options("short")
    };
    let plain = parse(&text.replace(", min_delta = 0.2", ", restore_best = false"));
    let short = train(&plain, &options, &mut ()).unwrap();
    assert_eq!(short.progress.epoch, best.epoch);
    assert_eq!(weights(&whole), weights(&short));
    assert_eq!(whole.test, short.test);

    // Five batches an epoch: interrupted while it waits.
    let options = scratch.options("interrupted");
    let batches = 5 * best.epoch + 3;
    train(&recipe, &options, &mut StopAfter(batches)).unwrap();
    let options = Options {
        resume: true,
        ..options
    };
    let resumed = train(&recipe, &options, &mut ()).unwrap();
    assert!(bytes(&resumed) == bytes(&whole));
}

/// Each optimizer and a penalty learn the easy set.
#[test]
fn every_optimizer_learns() {
    let scratch = Scratch::new("optimizers");
    let of_recipe = "optimizer = { type = \"adamw\", learning_rate = 0.01, weight_decay = 0.01 }";
    for optimizer in [
        "{ type = \"sgd\", learning_rate = 0.1, momentum = 0.9, nesterov = true }",
        "{ type = \"adam\", learning_rate = 0.01 }",
        "{ type = \"adagrad\", learning_rate = 0.1 }",
        "{ type = \"rmsprop\", learning_rate = 0.01, momentum = 0.5 }",
        "{ type = \"adadelta\" }",
    ] {
        let penalty = "penalty = { l1 = 1e-4, l2 = 1e-4 }";
        let text = RECIPE.replace(of_recipe, &format!("optimizer = {optimizer}\n{penalty}"));
        let text = text.replace("schedule = { type = \"one_cycle\" }", "");
        let recipe = Recipe::parse(&text, Path::new("tiny.toml")).unwrap();
        let options = Options {
            epochs: Some(12),
            ..scratch.options("run")
        };
        let outcome = train(&recipe, &options, &mut ()).unwrap();
        let losses: Vec<f64> = outcome.history.iter().map(|row| row.train_loss).collect();
        assert!(losses[11] < 0.6 * losses[0], "{optimizer}: {losses:?}");
    }
}

/// A full batch: one step an epoch, on any number of threads, also after an interruption.
#[test]
fn a_full_batch_is_one_step_an_epoch() {
    let scratch = Scratch::new("full");
    let text = RECIPE.replace("batch = 16", "batch = \"all\"\ninit = \"glorot\"");
    let recipe = Recipe::parse(&text, Path::new("tiny.toml")).unwrap();
    let run = |threads: usize| {
        let options = Options {
            threads: Some(threads),
            ..scratch.options(&format!("whole-{threads}"))
        };
        train(&recipe, &options, &mut ()).unwrap()
    };
    let whole = run(1);
    assert_eq!((whole.progress.step, whole.history.len()), (3, 3));
    assert!(bytes(&whole) == bytes(&run(2)));
    let options = scratch.options("stopped");
    train(&recipe, &options, &mut StopAfter(1)).unwrap();
    let options = Options {
        resume: true,
        ..options
    };
    assert!(bytes(&train(&recipe, &options, &mut ()).unwrap()) == bytes(&whole));
}

/// Classes that do not count are not learnt; what trains is not what is reported on the samples held out.
#[test]
fn class_weights_shape_what_is_learnt() {
    let scratch = Scratch::new("weights");
    let run = |name: &str, weights: &str| {
        let text = format!("{RECIPE}class_weights = {weights}\n");
        let recipe = Recipe::parse(&text, Path::new("tiny.toml")).unwrap();
        let options = Options {
            epochs: Some(25),
            ..scratch.options(name)
        };
        train(&recipe, &options, &mut ()).unwrap()
    };
    let half = run("half", "[1, 1, 1, 1, 1, 0, 0, 0, 0, 0]").test.unwrap();
    // Of forty test samples each class has four: the first five are read, of the others none is aimed at.
    assert!(
        half.accuracy
            .is_some_and(|share| (0.4..=0.6).contains(&share)),
        "{half:?}"
    );
    let all = run("all", "\"balanced\"");
    assert!(all.test.unwrap().accuracy.is_some_and(|share| share > 0.9));

    let recipe = Recipe::parse(
        &format!("{RECIPE}class_weights = \"balanced\"\n"),
        Path::new("tiny.toml"),
    )
    .unwrap();
    let whole = train(&recipe, &scratch.options("whole"), &mut ()).unwrap();
    let options = scratch.options("stopped");
    train(&recipe, &options, &mut StopAfter(7)).unwrap();
    let options = Options {
        resume: true,
        ..options
    };
    assert!(bytes(&train(&recipe, &options, &mut ()).unwrap()) == bytes(&whole));
}
