//! Layers that name what they read, shared weights, heads, and the shape rules of all layers.

use super::*;

/// A recipe of these layers, each a line of TOML fields, divided by `|`, before ten logits.
fn recipe(layers: &str) -> Result<Recipe, RecipeError> {
    let mut text = "name = \"graph\"\n[data]\nset = \"mnist\"\n".to_owned();
    let end = "type = \"flatten\" | type = \"dense\"; units = 10";
    for layer in layers.split('|').chain(end.split('|')) {
        text += "[[layer]]\n";
        text += &layer.trim().replace("; ", "\n");
        text += "\n";
    }
    text += "[train]\nloss = \"mse\"\nepochs = 1\nbatch = 1\nseed = 1\n\
             optimizer = { type = \"sgd\", learning_rate = 0.1 }\n";
    Recipe::parse(&text, Path::new("graph.toml"))
}

fn refused(layers: &str, words: &[&str]) {
    has(&recipe(layers).unwrap_err().to_string(), words);
}

/// Shape and parameters of the layer before the last two.
fn shape_of(layers: &str) -> (Vec<usize>, usize) {
    let recipe = recipe(layers).unwrap();
    let layer = recipe.layers().iter().rev().nth(2).unwrap();
    (layer.output_shape.clone(), layer.parameters)
}

#[test]
fn shapes_and_parameters_of_every_layer() {
    let rows = "type = \"reshape\"; shape = [28, 28]";
    let after = |before: &str, layer: &str| shape_of(&format!("{before} | {layer}"));
    for (layer, shape, parameters) in [
        (
            "type = \"conv2d\"; filters = 4; kernel = 3; dilation = 2",
            &[24, 24, 4][..],
            40,
        ),
        (
            "type = \"depthwise_conv2d\"; kernel = [3, 1]; multiplier = 2",
            &[26, 28, 2],
            8,
        ),
        ("type = \"global_avg_pool\"", &[1], 0),
        ("type = \"transpose\"; axes = [2, 0, 1]", &[1, 28, 28], 0),
        (
            "type = \"pad\"; amounts = [[1, 2], [0, 0], [0, 3]]",
            &[31, 28, 4],
            0,
        ),
        ("type = \"batch_norm\"", &[28, 28, 1], 2),
        ("type = \"prelu\"", &[28, 28, 1], 1),
        ("type = \"rrelu\"", &[28, 28, 1], 0),
        ("type = \"leaky_relu\"; slope = 0.5", &[28, 28, 1], 0),
    ] {
        assert_eq!(shape_of(layer), (shape.to_vec(), parameters), "{layer}");
    }
    for (layer, shape, parameters) in [
        (
            "type = \"conv1d\"; filters = 6; kernel = 3; groups = 2; stride = 2; padding = \"same\"",
            &[14, 6][..],
            6 * 14 * 3 + 6,
        ),
        ("type = \"dense\"; units = 3", &[28, 3], 87),
        ("type = \"global_max_pool\"", &[28], 0),
        ("type = \"rnn\"; units = 4", &[4], 4 * (28 + 4 + 1)),
        (
            "type = \"lstm\"; units = 4; return = \"sequence\"",
            &[28, 4],
            16 * (28 + 4 + 1),
        ),
        (
            "type = \"gru\"; units = 4; bidirectional = true",
            &[8],
            2 * 12 * (28 + 4 + 2),
        ),
    ] {
        assert_eq!(after(rows, layer), (shape.to_vec(), parameters), "{layer}");
    }
    for (layer, shape, parameters) in [
        ("type = \"repeat\"; steps = 3", &[3, 784][..], 0),
        (
            "type = \"embedding\"; vocabulary = 5; units = 2",
            &[784, 2],
            10,
        ),
        ("type = \"one_hot\"; classes = 4", &[784, 4], 0),
    ] {
        let found = after("type = \"flatten\"", layer);
        assert_eq!(found, (shape.to_vec(), parameters), "{layer}");
    }
}

#[test]
fn layers_read_what_they_name() {
    let recipe = recipe(
        "name = \"a\"; type = \"conv2d\"; filters = 2; kernel = 3 | \
         name = \"b\"; type = \"conv2d\"; filters = 3; kernel = 3; inputs = [\"image\"] | \
         type = \"concat\"; inputs = [\"a\", \"b\"]",
    )
    .unwrap();
    let layers = recipe.layers();
    assert_eq!(layers[1].inputs, [Feed::Image]);
    assert_eq!(layers[2].inputs, [Feed::Layer(0), Feed::Layer(1)]);
    assert_eq!(layers[2].output_shape, [26, 26, 5]);
    assert_eq!(layers[3].inputs, [Feed::Layer(2)]);
}

#[test]
fn shared_weights_count_once() {
    let recipe = recipe(
        "type = \"flatten\" | name = \"in\"; type = \"dense\"; units = 6 | name = \"a\"; type = \"dense\"; units = 6 | \
         name = \"b\"; type = \"dense\"; units = 6; shares = \"a\" | type = \"dense\"; units = 6; shares = \"b\"",
    )
    .unwrap();
    let shares: Vec<_> = recipe.layers().iter().map(|layer| layer.shares).collect();
    assert_eq!(shares, [None, None, None, Some(2), Some(2), None, None]);
    assert_eq!(recipe.parameters(), 785 * 6 + 42 + 70);
}

#[test]
fn graphs_that_do_not_fit_are_refused() {
    let flat = "type = \"flatten\" | name = \"a\"; type = \"dense\"; units = 6 | ";
    let after = |layer: &str, words: &[&str]| refused(&format!("{flat}{layer}"), words);
    after(
        "type = \"dense\"; units = 2; inputs = [\"z\"]",
        &["inputs", "flatten_1, a", "`z`"],
    );
    after(
        "type = \"dense\"; units = 2; inputs = \"a\"",
        &["list of layers' names"],
    );
    after(
        "type = \"dense\"; units = 2; inputs = [\"a\", \"a\"]",
        &["inputs", "1 layer", "found 2"],
    );
    after("type = \"add\"", &["2 to 4 layers", "found 1"]);
    after(
        "name = \"image\"; type = \"tanh\"",
        &["another name", "sample of the data set"],
    );
    after(
        "type = \"dense\"; units = 2; shares = \"a\"",
        &["a dense with weights of the same shapes", "`a`"],
    );
    after("type = \"tanh\"; shares = \"a\"", &["a layer with weights"]);
    after(
        "type = \"dense\"; units = 3; inputs = [\"flatten_1\"]",
        &["every layer to be read", "`a`"],
    );
    after(
        "type = \"rnn\"; units = 2",
        &["a sequence [steps, features]", "reshape"],
    );
    after(
        "type = \"reshape\"; shape = [4, 2]",
        &["6 values in all", "4 x 2"],
    );
    after(
        "type = \"transpose\"; axes = [1]",
        &["each axis from 0 to 0 once"],
    );
    after(
        "type = \"leaky_relu\"; slope = 2",
        &["slope", "from 0 to 1"],
    );
    let rows = "type = \"reshape\"; shape = [28, 28] | ";
    let after = |layer: &str, words: &[&str]| refused(&format!("{rows}{layer}"), words);
    after(
        "type = \"lstm\"; units = 2; activation = \"tanh\"",
        &["activation", "gates have their own"],
    );
    after(
        "type = \"rnn\"; units = 2; activation = \"sigmoid\"",
        &["tanh or relu", "sigmoid"],
    );
    after(
        "type = \"gru\"; units = 2; stateful = true; bidirectional = true",
        &["stateful"],
    );
    after(
        "type = \"conv1d\"; filters = 3; kernel = 2; groups = 3",
        &["groups", "28 channels", "found 3"],
    );
}

const HEADS: &str = r#"
name = "heads"
[data]
set = "mnist"
[[layer]]
type = "flatten"
[[layer]]
name = "trunk"
type = "dense"
units = 8
[[layer]]
name = "class"
type = "dense"
units = 10
activation = "log_softmax"
[[layer]]
name = "picture"
type = "dense"
units = 784
inputs = ["trunk"]
activation = "sigmoid"
[train]
epochs = 1
batch = 1
seed = 1
optimizer = { type = "sgd", learning_rate = 0.1 }
[[train.head]]
layer = "class"
loss = "cross_entropy"
[[train.head]]
layer = "picture"
loss = "binary_cross_entropy"
target = "image"
weight = 0.5
"#;

#[test]
fn heads_have_their_losses() {
    let heads = parse(HEADS).unwrap().train.heads;
    let found: Vec<_> = heads
        .iter()
        .map(|head| (head.layer, head.loss.name(), head.weight, head.target))
        .collect();
    let wanted = [
        (2, "cross_entropy", 1.0, Aim::Class),
        (3, "binary_cross_entropy", 0.5, Aim::Image),
    ];
    assert_eq!(found, wanted);
    let message = |from: &str, to: &str| {
        assert!(HEADS.contains(from), "{from}");
        parse(&HEADS.replacen(from, to, 1)).unwrap_err().to_string()
    };
    has(
        &message("layer = \"picture\"", "layer = \"class\""),
        &["[[train.head]]: layer", "`class` a second time"],
    );
    has(
        &message("\"sigmoid\"", "\"tanh\""),
        &["a sigmoid at the end", "layer `picture`"],
    );
    has(
        &message("units = 784", "units = 700"),
        &["as many outputs as a sample of 28 x 28 x 1", "700"],
    );
    has(
        &message("[train]", "[train]\nloss = \"mse\""),
        &["a loss at each head only"],
    );
    has(
        &message("weight = 0.5", "weight = -1.0"),
        &["weight", "found -1"],
    );
    has(
        &message(
            "[[train.head]]\nlayer = \"class\"\nloss = \"cross_entropy\"\n",
            "",
        ),
        &["`class` at the first head"],
    );
}

/// `docs/recipes.md` names every type of layer, and its example is good.
#[test]
fn the_page_on_recipes_is_whole() {
    let page = include_str!("../../../../docs/recipes.md");
    for name in LayerKind::TYPES.split(',').map(str::trim) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    for name in Format::NAMES.split(", ") {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    let example = page.split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let recipe = parse(example).unwrap();
    assert_eq!(recipe.train.heads.len(), 2);
}
