//! How near the planner comes to the least memory there can be: the most bytes that live at one step.
//!
//! Every model kept, and recipes of the kinds of graphs that `docs/recipes.md` has, each for inference and for training
//! plans. The figures are those that `mote plan` prints.

use std::collections::BTreeMap;
use std::path::Path;

use host::checkpoint::{Checkpoint, Progress, Values};
use host::data::DataSet;
use host::export::{AlignedBytes, Network, Ranges};
use host::plan::{ArenaPlan, PlanReport, SpecError, SpecRequest, with_real_outputs};
use host::recipe::{Format, Recipe};
use nn_core::memory::PlanError;
use nn_core::model::Model;
use tests::random::Random;

/// What the shared part may take, as a multiple of the lower bound.
const MOST: f64 = 1.02;
/// Training plans, as `mote plan --train` takes them.
const PLANS: [&str; 3] = ["all", "last:1", "biases"];

/// Kinds of graphs: their layers, each a line of TOML fields divided by `;`, and their heads.
const RECIPES: &[(&str, &str, &str)] = &[
    (
        "two heads on one trunk",
        "type = 'conv2d'; filters = 8; kernel = 5; stride = 2; activation = 'relu' | type = 'flatten'
         | name = 'trunk'; type = 'dense'; units = 32; activation = 'relu'
         | name = 'class'; type = 'dense'; units = 10; activation = 'softmax'
         | name = 'picture'; type = 'dense'; units = 784; activation = 'sigmoid'; inputs = ['trunk']",
        "layer = 'class'; loss = 'cross_entropy'
         | layer = 'picture'; loss = 'binary_cross_entropy'; target = 'image'; weight = 0.5",
    ),
    (
        "residual blocks",
        "name = 'a'; type = 'conv2d'; filters = 8; kernel = 3; padding = 'same'; activation = 'relu'
         | name = 'b'; type = 'conv2d'; filters = 8; kernel = 3; padding = 'same'; activation = 'relu'
         | name = 'c'; type = 'conv2d'; filters = 8; kernel = 3; padding = 'same'
         | name = 'd'; type = 'add'; inputs = ['a', 'c']; activation = 'relu' | type = 'max_pool2d'; size = 2; name = 'e'
         | name = 'f'; type = 'conv2d'; filters = 8; kernel = 3; padding = 'same'; activation = 'relu'
         | name = 'g'; type = 'add'; inputs = ['e', 'f'] | type = 'global_avg_pool'
         | name = 'class'; type = 'dense'; units = 10; activation = 'softmax'",
        "layer = 'class'; loss = 'cross_entropy'",
    ),
    (
        "depthwise and pointwise, squeeze and excite",
        "type = 'conv2d'; filters = 8; kernel = 3; stride = 2; padding = 'same'; activation = 'relu6'
         | type = 'depthwise_conv2d'; kernel = 3; padding = 'same'; activation = 'relu6'
         | name = 'wide'; type = 'conv2d'; filters = 16; kernel = 1; activation = 'relu6' | type = 'global_avg_pool'
         | type = 'dense'; units = 4; activation = 'relu'
         | name = 'gate'; type = 'dense'; units = 16; activation = 'sigmoid' | type = 'mul'; inputs = ['wide', 'gate']
         | type = 'global_max_pool' | name = 'class'; type = 'dense'; units = 10; activation = 'softmax'",
        "layer = 'class'; loss = 'cross_entropy'",
    ),
    (
        "branches side by side",
        "name = 'a'; type = 'conv2d'; filters = 4; kernel = 1
         | name = 'b'; type = 'conv2d'; filters = 4; kernel = 3; padding = 'same'; inputs = ['image']
         | name = 'c'; type = 'conv2d'; filters = 4; kernel = 5; padding = 'same'; inputs = ['image']
         | name = 'd'; type = 'concat'; inputs = ['a', 'b', 'c'] | type = 'relu' | type = 'max_pool2d'; size = 4
         | type = 'flatten' | name = 'class'; type = 'dense'; units = 10; activation = 'softmax'",
        "layer = 'class'; loss = 'cross_entropy'",
    ),
    (
        "sequence to sequence to one, both ways",
        "type = 'reshape'; shape = [28, 28] | type = 'conv1d'; filters = 12; kernel = 3; padding = 'same'
         | type = 'lstm'; units = 16; return = 'sequence'; bidirectional = true
         | type = 'dense'; units = 12; activation = 'tanh' | type = 'gru'; units = 16; bidirectional = true
         | name = 'class'; type = 'dense'; units = 10; activation = 'log_softmax'",
        "layer = 'class'; loss = 'cross_entropy'",
    ),
    (
        "encoder and decoder",
        "type = 'reshape'; shape = [28, 28] | name = 'code'; type = 'gru'; units = 24 | type = 'repeat'; steps = 28
         | type = 'rnn'; units = 24; return = 'sequence'
         | name = 'picture'; type = 'dense'; units = 28; activation = 'sigmoid'
         | name = 'class'; type = 'dense'; units = 10; activation = 'softmax'; inputs = ['code']",
        "layer = 'class'; loss = 'cross_entropy'
         | layer = 'picture'; loss = 'binary_cross_entropy'; target = 'image'",
    ),
    (
        "shared weights",
        "type = 'flatten' | type = 'dense'; units = 24; activation = 'relu'
         | name = 'a'; type = 'dense'; units = 24; activation = 'tanh'
         | name = 'b'; type = 'dense'; units = 24; activation = 'tanh'; shares = 'a'
         | type = 'add'; inputs = ['a', 'b'] | name = 'class'; type = 'dense'; units = 10; activation = 'softmax'",
        "layer = 'class'; loss = 'cross_entropy'",
    ),
];

fn recipe(layers: &str, heads: &str) -> Recipe {
    let tables = |table: &str, all: &str| -> String {
        let fields = |one: &str| one.trim().replace("; ", "\n");
        let tables = all.split('|').map(fields);
        tables.map(|one| format!("[[{table}]]\n{one}\n")).collect()
    };
    let text = format!(
        "name = \"planned\"\n[data]\nset = \"mnist\"\n{}[train]\nepochs = 1\nbatch = 1\nseed = 1\n\
         optimizer = {{ type = \"sgd\", learning_rate = 0.1 }}\n{}[export.train]\nlayers = \"last:1\"\n",
        tables("layer", layers),
        tables("train.head", heads)
    );
    Recipe::parse(&text, Path::new("planned.toml"))
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Any weights: the planner does not look at them.
fn checkpoint(recipe: &Recipe) -> Checkpoint {
    let mut random = Random::new(1);
    let mut tensors = BTreeMap::new();
    for layer in recipe.layers() {
        for tensor in layer.tensors() {
            let values = random.values(tensor.shape.iter().product(), 0.2);
            let name = format!("{}.{}", layer.name, tensor.name);
            let shape = tensor.shape;
            tensors.insert(name, Values { shape, values });
        }
    }
    let progress = Progress::new(recipe);
    Checkpoint { progress, tensors }
}

/// The worst that was found, and where.
#[derive(Default)]
struct Worst {
    arenas: usize,
    ratio: f64,
    place: String,
}

impl Worst {
    fn see(&mut self, arena: &ArenaPlan, place: String) {
        // Sizes are whole numbers: 0 buffers have a bound of 0.
        assert!(arena.parts.buffers >= arena.lower_bound, "{place}");
        self.arenas += 1;
        if arena.ratio > 1.0 {
            println!(
                "{place} {:.4} {} {}",
                arena.ratio, arena.parts.buffers, arena.lower_bound
            );
        }
        if arena.ratio > self.ratio {
            (self.ratio, self.place) = (arena.ratio, place);
        }
    }

    /// Plans a model for inference and for each of the training plans that it can have.
    fn plan(&mut self, blob: &AlignedBytes, name: &str) {
        let model = Model::load(blob).unwrap();
        let report = PlanReport::of(&model, None).unwrap();
        self.see(&report.inference, format!("{name}, inference"));
        let real = with_real_outputs(&model).unwrap();
        let model = Model::load(&real).unwrap();
        let has_int8 = model
            .nodes()
            .iter()
            .any(|node| model.learns_in_int8(&node.op));
        for text in PLANS {
            let request: SpecRequest = text.parse().unwrap();
            let spec = match request.apply(&model) {
                Err(SpecError::NothingLearns) => continue,
                spec => spec.unwrap(),
            };
            let report = match PlanReport::of(&model, Some(spec)) {
                // Not every operator in int8 hands a gradient on.
                Err(PlanError::NotDifferentiable { .. }) if has_int8 => continue,
                report => report.unwrap(),
            };
            self.see(&report.training.unwrap().arena, format!("{name}, {text}"));
        }
    }

    fn check(&self) {
        let Self {
            arenas,
            ratio,
            place,
        } = self;
        println!("{arenas} arenas, at most {ratio:.4} of the lower bound: {place}");
        assert!(*ratio <= MOST, "{place}: {ratio:.4} of the lower bound");
    }
}

#[test]
fn models_are_planned_within_2_percent_of_the_lower_bound() {
    let folder = format!("{}/../models", env!("CARGO_MANIFEST_DIR"));
    let mut worst = Worst::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "mote")
        {
            let blob = AlignedBytes::copy_of(&std::fs::read(&path).unwrap());
            worst.plan(&blob, &path.file_stem().unwrap().to_string_lossy());
        }
    }
    // Fifteen models, of which three do not learn.
    assert!(worst.arenas >= 15 + 12 * PLANS.len());
    worst.check();
}

#[test]
fn recipes_are_planned_within_2_percent_of_the_lower_bound() {
    let mut random = Random::new(2);
    let set = DataSet {
        name: "noise".to_owned(),
        shape: [28, 28, 1],
        classes: 10,
        images: (0..2 * 784).map(|_| random.bits() as u8).collect(),
        labels: vec![0; 2],
        values: None,
    };
    let mut worst = Worst::default();
    for (name, layers, heads) in RECIPES {
        let recipe = recipe(layers, heads);
        let network = Network::new(&recipe, &checkpoint(&recipe)).unwrap();
        let ranges = Ranges::measure(&network, &set).unwrap();
        for format in [Format::F32, Format::Q16, Format::I8, Format::Head] {
            let lowered = network.lower(&recipe, &ranges, format).unwrap();
            worst.plan(&lowered.bytes, &format!("{name}, {format}"));
        }
    }
    worst.check();
}
