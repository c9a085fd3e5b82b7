mod graphs;
mod images;
mod training;

use super::*;

const SMALL: &str = r#"
name = "small"

[data]
set = "mnist"

[[layer]]
type = "conv2d"
filters = 4
kernel = [5, 3]
padding = "same"

[[layer]]
type = "max_pool2d"
size = 2

[[layer]]
type = "flatten"

[[layer]]
type = "dense"
units = 10
activation = "softmax"

[train]
loss = "cross_entropy"
epochs = 3
batch = 64
seed = 1
optimizer = { type = "adam", learning_rate = 0.001 }
"#;

fn parse(text: &str) -> Result<Recipe, RecipeError> {
    Recipe::parse(text, Path::new("small.toml"))
}

/// The message that replacing `from` by `to` in the small recipe leads to.
fn message(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    parse(&SMALL.replacen(from, to, 1)).unwrap_err().to_string()
}

fn has(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

#[test]
fn shapes_and_parameters_follow() {
    let recipe = parse(SMALL).unwrap();
    let found: Vec<_> = recipe
        .layers()
        .iter()
        .map(|layer| {
            (
                layer.name.as_str(),
                layer.output_shape.as_slice(),
                layer.parameters,
            )
        })
        .collect();
    let wanted: [(&str, &[usize], usize); 4] = [
        ("conv2d_1", &[28, 28, 4], 4 * 15 + 4),
        ("max_pool2d_1", &[14, 14, 4], 0),
        ("flatten_1", &[784], 0),
        ("dense_1", &[10], 7850),
    ];
    assert_eq!(found, wanted);
    assert_eq!(recipe.parameters(), 64 + 7850);
    assert_eq!(recipe.train.schedule, Schedule::Constant);
}

#[test]
fn the_recipes_of_the_house_are_good() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    for (name, parameters) in [
        ("stock-rnn", 41),
        ("stock-lstm", 4 * (5 + 25 + 5) + 6),
        // A GRU has a bias of its own for what comes from the state.
        ("stock-gru", 3 * (5 + 25 + 5 + 5) + 6),
        ("mnist-cnn", 208 + 3216 + 78_500 + 1010),
        ("mnist-mlp", 101_770),
    ] {
        let recipe = Recipe::load(&models.join(format!("{name}.toml"))).unwrap();
        assert_eq!(
            (recipe.name.as_str(), recipe.parameters()),
            (name, parameters)
        );
    }
}

#[test]
fn unknown_and_missing_fields_are_refused_where_they_stand() {
    has(
        &message("seed = 1", "seeds = 1"),
        &["small.toml", "line 29", "`seeds`", "`seed`"],
    );
    let unknown = message("filters = 4", "units = 4");
    has(
        &unknown,
        &[
            "small.toml, line 7",
            "layer 1 (conv2d)",
            "`units`",
            "`filters`",
        ],
    );
    has(
        &message("units = 10\n", ""),
        &["line 20", "layer 4 (dense)", "missing", "`units`"],
    );
    has(
        &message("filters = 4", "filters = 0"),
        &["filters", "`0`", "from 1 to 65536"],
    );
    has(&message("[5, 3]", "[5, 3, 1]"), &["[height, width]"]);
    has(&message("[5, 3]", "-5"), &["`-5`", "whole number"]);
    has(&message("\"same\"", "\"full\""), &["`full`", "`same`"]);
}

#[test]
fn unknown_types_are_refused_with_those_that_there_are() {
    has(
        &message("\"flatten\"", "\"flaten\""),
        &["line 17", "layer 3", "`flaten`", "flatten"],
    );
    has(
        &message("type = \"flatten\"", ""),
        &["layer 3: type", "found none"],
    );
    has(
        &message("\"adam\"", "\"adamm\""),
        &["line 30", "optimizer", "sgd, adam, adamw"],
    );
    has(
        &message("\"mnist\"", "\"minst\""),
        &["[data] set", "`minst`", "mnist"],
    );
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let flat = message("[[layer]]\ntype = \"flatten\"\n", "");
    has(
        &flat,
        &[
            "layer 3 (dense)",
            "one dimension",
            "flatten",
            "found 14 x 14 x 4",
        ],
    );
    has(
        &message("size = 2", "size = 29"),
        &["at least 29 x 29", "found 28 x 28"],
    );
    has(
        &message("units = 10", "units = 11"),
        &["10 outputs", "found 11", "`dense_1`"],
    );
    has(
        &message("activation = \"softmax\"", ""),
        &["loss", "softmax", "`dense_1`"],
    );
    let early = message("padding = \"same\"", "activation = \"softmax\"");
    has(&early, &["softmax at the end only", "`conv2d_1`"]);
    has(
        &message("units = 10", "units = 10\nname = \"conv2d_1\""),
        &["a second time"],
    );
}

#[test]
fn values_out_of_range_are_refused() {
    has(
        &message("0.001", "-0.001"),
        &["learning_rate", "above 0", "found -0.001"],
    );
    has(&message("0.001", "nan"), &["learning_rate", "found NaN"]);
    has(
        &message("\"mnist\"", "\"mnist\"\nvalidation = 1.0"),
        &["[data]: validation", "found 1"],
    );
    has(
        &message("\"small\"", "\"../small\""),
        &["name", "line 2", "letters"],
    );
    has(
        &message(
            "[[layer]]",
            "[[layer]]\ntype=\"dropout\"\nrate=1.5\n[[layer]]",
        ),
        &["found 1.5"],
    );
}

#[test]
fn penalties_and_an_early_end_are_within_reason() {
    let with = |fields: &str| parse(&format!("{SMALL}{fields}\n"));
    let recipe = with("penalty = { l2 = 0.01 }\nstop = { monitor = \"train_loss\", patience = 3 }");
    let train = recipe.unwrap().train;
    assert_eq!((train.penalty.l1, train.penalty.l2), (0.0, 0.01));
    assert_eq!(train.stop.unwrap().monitor, Monitor::TrainLoss);
    let error = |fields: &str| with(fields).unwrap_err().to_string();
    has(
        &error("penalty = { l1 = -1.0 }"),
        &["line 31", "penalty.l1", "found -1"],
    );
    has(&error("penalty = { l3 = 1.0 }"), &["l3", "`l1`"]);
    has(
        &error("stop = { patience = 5 }"),
        &["line 31", "validation above 0", "val_loss"],
    );
    has(
        &error("stop = { monitor = \"train_loss\", patience = 0 }"),
        &["patience", "`0`"],
    );
    has(
        &error("stop = { monitor = \"loss\", patience = 1 }"),
        &["`loss`", "`val_loss`"],
    );
    let rate = message("\"adam\"", "\"rmsprop\", alpha = 1.5");
    has(&rate, &["alpha", "below 1", "found 1.5"]);
}

#[test]
fn what_learns_on_the_device_must_be_there() {
    let with = |export: &str| parse(&format!("{SMALL}\n[export]\n{export}"));
    let layers = with("train = { layers = \"last:1\" }").unwrap();
    let train = layers.export.train.as_ref().unwrap();
    assert_eq!(train.layers.select(layers.layers()), ["dense_1"]);
    let all = with("train = { layers = \"all\" }").unwrap();
    let train = all.export.train.as_ref().unwrap();
    assert_eq!(train.layers.select(all.layers()), ["conv2d_1", "dense_1"]);

    let error = |export: &str| with(export).unwrap_err().to_string();
    has(
        &error("train = { layers = \"last:3\" }"),
        &["at most last:2", "found last:3"],
    );
    has(
        &error("train = { layers = [\"dense_9\"] }"),
        &["conv2d_1, dense_1", "`dense_9`"],
    );
    has(
        &error("train = { layers = \"first\" }"),
        &["\"all\"", "\"last:K\""],
    );
    has(&error("formats = [\"head\"]"), &["[export.train]"]);
}

#[test]
fn a_series_wants_its_section_and_one_output() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/stock-rnn.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let recipe = parse(&text).unwrap();
    assert_eq!(recipe.sample_shape(), [10, 1, 1]);
    assert_eq!(recipe.train.heads[0].target, Aim::Value);
    for (from, to, words) in [
        (
            "set = \"series\"",
            "set = \"mnist\"",
            "set = \"series\" beside",
        ),
        ("train = 0.8", "train = 1", "a number above 0, below 1"),
        ("window = 10", "window = 0", "window"),
        ("units = 1\n", "units = 2\n", "1 output: close"),
        (
            "loss = \"mse\"",
            "loss = \"cross_entropy\"",
            "for the target `value`",
        ),
        ("clip = 1.0", "clip = -1.0", "train.clip"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = parse(&text.replacen(from, to, 1)).unwrap_err();
        has(&error.to_string(), &[words]);
    }
}

const TABLE: &str = r#"
name = "plant"
[data]
set = "table"
[data.table]
file = "plant.csv"
inputs = ["at", "ap", "rh"]
outputs = ["pe", "v"]
class = "state"
classes = ["off", "on"]
[[layer]]
type = "dense"
units = 4
activation = "relu"
[[layer]]
name = "state"
type = "dense"
units = 1
activation = "sigmoid"
[[layer]]
name = "numbers"
type = "dense"
units = 2
inputs = ["dense_1"]
[train]
epochs = 3
batch = 64
seed = 1
optimizer = { type = "adam", learning_rate = 0.01 }
[[train.head]]
layer = "state"
loss = "binary_cross_entropy"
[[train.head]]
layer = "numbers"
loss = "mse"
target = "value"
outputs = ["v", "pe"]
"#;

#[test]
fn a_table_is_a_vector_with_a_class_and_numbers() {
    let recipe = parse(TABLE).unwrap();
    assert_eq!(recipe.sample_shape(), [3]);
    assert_eq!(recipe.classes(), ["off", "on"]);
    let heads = &recipe.train.heads;
    assert_eq!((heads[0].target, heads[1].target), (Aim::Class, Aim::Value));
    assert_eq!(heads[1].outputs, [1, 0]);
    for (from, to, words) in [
        ("\"rh\"]", "\"at\"]", "`at` a second time"),
        ("\"rh\"]", "\"pe\"]", "`pe` a second time"),
        ("\"at\", \"ap\", \"rh\"", "", "at least one column"),
        ("class = \"state\"\n", "", "the column of the classes"),
        ("[\"off\", \"on\"]", "[\"off\"]", "2 to 256 classes"),
        (
            "outputs = [\"v\", \"pe\"]",
            "outputs = [\"v\"]",
            "1 output: v",
        ),
        (
            "outputs = [\"v\", \"pe\"]",
            "outputs = [\"w\"]",
            "pe, v, found `w`",
        ),
        ("\"sigmoid\"", "\"tanh\"", "a sigmoid at the end"),
        (
            "set = \"table\"",
            "set = \"mnist\"",
            "set = \"table\" beside",
        ),
        ("[data.table]", "validation = 2\n[data.table]", "below 1"),
        ("file = ", "header = false\nfile = ", "names of all columns"),
        (
            "file = ",
            "train = 0.5\ntest = \"b.csv\"\nfile = ",
            "nothing beside `test`",
        ),
        (
            "file = ",
            "columns = [\"at\", \"ap\"]\nfile = ",
            "one of `columns`",
        ),
        ("file = ", "delimiter = \"→\"\nfile = ", "ASCII"),
    ] {
        assert!(TABLE.contains(from), "{from}");
        let error = parse(&TABLE.replacen(from, to, 1)).unwrap_err();
        has(&error.to_string(), &[words]);
    }
}
