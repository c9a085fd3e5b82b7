//! Rows of a table, from the file to a blob.

use super::*;
use crate::checkpoint::Checkpoint;
use crate::ui::Ui;

/// A class and two numbers of a row, from libtorch's weights to a blob's outputs.
#[test]
fn a_table_is_learnt_exported_and_read() {
    let folder = std::env::temp_dir().join(format!("mote-{}-table", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let rows = (0..200).map(|i| {
        let (a, b) = (
            f64::from(i * 37 % 101) / 10.0,
            f64::from(i * 53 % 89) / 10.0,
        );
        let side = if a > b { "right" } else { "left" };
        format!("{a},{b},{side},{},{}\n", 3.0 * a - b, 100.0 + 10.0 * b)
    });
    let text: String = rows.collect();
    std::fs::write(folder.join("rows.csv"), format!("a,b,side,p,q\n{text}")).unwrap();
    let recipe = r#"
name = "rows"
[data]
set = "table"
validation = 0.1
[data.table]
file = "rows.csv"
inputs = ["a", "b"]
outputs = ["p", "q"]
class = "side"
classes = ["left", "right"]
scale = "standard"
scale_outputs = "standard"
[[layer]]
name = "trunk"
type = "dense"
units = 8
activation = "relu"
[[layer]]
name = "side"
type = "dense"
units = 1
activation = "sigmoid"
[[layer]]
name = "numbers"
type = "dense"
units = 2
inputs = ["trunk"]
[train]
epochs = 60
batch = 16
seed = 2
optimizer = { type = "adam", learning_rate = 0.02 }
[[train.head]]
layer = "side"
loss = "binary_cross_entropy"
[[train.head]]
layer = "numbers"
loss = "mse"
target = "value"
outputs = ["q", "p"]
[export]
formats = ["f32", "q16", "i8"]
"#;
    let recipe = Recipe::parse(recipe, Path::new("rows.toml")).unwrap();
    let options = Options {
        device: DeviceChoice::Cpu,
        directory: folder.join("run"),
        data: Some(folder.clone()),
        ..Options::default()
    };
    let outcome = train(&recipe, &options, &mut ()).unwrap();
    let test = outcome.test.unwrap();
    assert!(test.samples == 40 && test.accuracy > Some(0.9), "{test:?}");
    let of = |measures: &Option<Measures>| measures.clone().unwrap();
    let measures = of(&outcome.measures.test);
    let metrics = measures.metrics.unwrap();
    assert_eq!(
        (metrics.samples, Some(metrics.accuracy)),
        (40, test.accuracy)
    );
    let held_out = of(&outcome.measures.validation);
    let last = outcome.history.last().unwrap();
    assert_eq!(
        held_out.metrics.map(|metrics| metrics.accuracy),
        last.val_accuracy
    );
    assert_eq!(held_out.fits[0].fit.samples, 16);
    let checkpoint = Checkpoint::load(&outcome.files.checkpoint).unwrap();
    let export = crate::export::Options {
        directory: folder.join("models"),
        data: Some(folder.clone()),
        ..Default::default()
    };
    let report = crate::export::export(&recipe, &checkpoint, &export, &Ui::silent()).unwrap();
    for model in &report.models {
        let right = (model.accuracy.unwrap() * 40.0).round() as usize;
        // int8 may read a row near the line the other way.
        assert!(
            right.abs_diff(test.correct) <= 1,
            "{}: {right}",
            model.format
        );
        let names: Vec<&str> = model.fits.iter().map(|fit| fit.column.as_str()).collect();
        assert_eq!(names, ["q", "p"]);
        for fit in &model.fits {
            // In the columns' units: q goes from 100 to 190.
            let of_training = measures
                .fits
                .iter()
                .find(|other| other.column == fit.column);
            let off = fit.fit.rmse / of_training.unwrap().fit.rmse - 1.0;
            // Both in f32, which keeps seven digits of numbers that errors are a hundredth of.
            assert!(model.format != "f32" || off.abs() < 1e-3, "{off}");
            assert!(
                fit.fit.r2 > 0.95 && fit.fit.mae > 0.01,
                "{} {fit:?}",
                model.format
            );
        }
    }
    let card = std::fs::read_to_string(&report.models[0].card).unwrap();
    assert!(
        card.contains("| fit of q | R²") && card.contains("| input | a |"),
        "{card}"
    );
    let _ = std::fs::remove_dir_all(&folder);
}
