//! How layers follow each other.
//!
//! A layer reads the one before it, or those that its `inputs` name; `image` is a sample of the data set. With
//! `shares = "name"` it has the weights of that layer.

use toml::Spanned;

use super::activation::Activation;
use super::error::{Misfit, Source};
use super::head::Head;
use super::initialization::Initialization;
use super::layer::LayerKind;
use super::parameters::{Parameter, Role};
use super::{RecipeError, check_name, shape, tagged};

/// What `inputs` call a sample of the data set.
const IMAGE: &str = "image";

/// What a layer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// A sample of the data set.
    Image,
    /// What the layer of this index gives.
    Layer(usize),
}

/// A layer in its place: named, with its shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedLayer {
    /// The name of the layer, and of its tensors in a checkpoint: `conv2d_1`.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// What it reads, in order.
    pub inputs: Vec<Feed>,
    /// Shape of its first input: `[height, width, channels]`, `[steps, features]` or `[features]`.
    pub input_shape: Vec<usize>,
    /// Shape of its output.
    pub output_shape: Vec<usize>,
    /// The layer whose weights it has, where they are not its own.
    pub shares: Option<usize>,
    /// What its weights begin as, its own or the whole network's; as [`Role`] says when not given.
    pub init: Option<Initialization>,
    /// Whether its tensors stay as they are, its statistics, too.
    pub frozen: bool,
    /// Weights and biases that learn, if they are its own.
    pub parameters: usize,
}

impl ResolvedLayer {
    /// Its tensors, if they are its own.
    pub fn tensors(&self) -> Vec<Parameter> {
        match self.shares {
            None => self.kind.tensors(&self.input_shape),
            Some(_) => Vec::new(),
        }
    }

    /// Whether it has tensors of its own that are as the field wants.
    fn check_own(
        &self,
        field: &'static str,
        fit: impl Fn(&[Parameter]) -> bool,
    ) -> Result<(), Misfit> {
        let wanted = "a layer with weights of its own";
        let found = match self.shares {
            Some(_) => "one that shares another's".to_owned(),
            None if fit(&self.tensors()) => return Ok(()),
            None => format!("a {}", self.kind.type_name()),
        };
        Err(Misfit::field(field, wanted, found))
    }
}

pub(super) fn read_layers(
    source: &Source<'_>,
    tables: Vec<Spanned<toml::Table>>,
    sample: &[usize],
) -> Result<Vec<ResolvedLayer>, RecipeError> {
    let mut layers: Vec<ResolvedLayer> = Vec::with_capacity(tables.len());
    for (index, mut table) in tables.into_iter().enumerate() {
        let start = table.span().start;
        let place = format!("layer {}", index + 1);
        let mut take = |field| table.as_mut().remove(field);
        let (given, inputs, shares) = (take("name"), take("inputs"), take("shares"));
        let (init, frozen) = (take("init"), take("frozen"));
        let kind = tagged(source, table, &place, LayerKind::TYPES, LayerKind::read)?;
        let place = format!("{place} ({})", kind.type_name());
        let misfit = |misfit| source.misfit(start, &place, misfit);
        let name = name(given, &kind, &layers).map_err(misfit)?;
        let inputs = feeds(inputs, &layers).map_err(misfit)?;
        let shapes: Vec<&[usize]> = inputs
            .iter()
            .map(|feed| match *feed {
                Feed::Image => sample,
                Feed::Layer(index) => &layers[index].output_shape,
            })
            .collect();
        let output_shape = kind.resolve(&shapes).map_err(misfit)?;
        let input_shape = shapes.first().map_or(Vec::new(), |shape| shape.to_vec());
        let shares = shares
            .map(|value| owner(&value, &kind, &input_shape, &layers))
            .transpose()
            .map_err(misfit)?;
        let mut layer = ResolvedLayer {
            name,
            kind,
            inputs,
            input_shape,
            output_shape,
            shares,
            init: None,
            frozen: false,
            parameters: 0,
        };
        if let Some(value) = init {
            layer.init = Some(Initialization::parse(source, start, &place, value)?);
            let has_weights = |tensors: &[Parameter]| tensors.iter().any(Parameter::is_drawn);
            layer.check_own("init", has_weights).map_err(misfit)?;
            if let Some(Initialization::Given(given)) = &layer.init {
                given.check(&layer.tensors()).map_err(misfit)?;
            }
        }
        if let Some(value) = frozen {
            layer.frozen = value.as_bool().ok_or_else(|| {
                misfit(Misfit::field("frozen", "true or false", value.to_string()))
            })?;
            let has_any = |tensors: &[Parameter]| !tensors.is_empty();
            layer.check_own("frozen", has_any).map_err(misfit)?;
        }
        let learnt = layer.tensors().into_iter().filter(|t| t.role.learns());
        layer.parameters = learnt.map(|t| t.shape.iter().product::<usize>()).sum();
        layers.push(layer);
    }
    Ok(layers)
}

fn name(
    given: Option<toml::Value>,
    kind: &LayerKind,
    layers: &[ResolvedLayer],
) -> Result<String, Misfit> {
    let name = match given {
        Some(toml::Value::String(name)) => {
            check_name(&name).map_err(|problem| Misfit {
                field: Some("name"),
                ..problem
            })?;
            name
        }
        Some(other) => return Err(Misfit::field("name", "a string", other)),
        None => {
            let before = layers
                .iter()
                .filter(|layer| layer.kind.type_name() == kind.type_name());
            format!("{}_{}", kind.type_name(), before.count() + 1)
        }
    };
    if name == IMAGE {
        let wanted = "another name: `image` is a sample of the data set";
        return Err(Misfit::field("name", wanted, "`image`"));
    }
    if layers.iter().any(|layer| layer.name == name) {
        let found = format!("`{name}` a second time");
        return Err(Misfit::field("name", "a name of its own", found));
    }
    Ok(name)
}

/// The layer of that name, or what there is instead.
pub(super) fn find(
    field: &'static str,
    name: &str,
    layers: &[ResolvedLayer],
) -> Result<usize, Misfit> {
    let index = layers.iter().position(|layer| layer.name == name);
    index.ok_or_else(|| {
        let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        let wanted = format!("a layer before it: {}", names.join(", "));
        Misfit::field(field, wanted, format!("`{name}`"))
    })
}

/// What a layer reads.
fn feeds(given: Option<toml::Value>, layers: &[ResolvedLayer]) -> Result<Vec<Feed>, Misfit> {
    let wanted = "a list of layers' names, such as [\"dense_1\", \"image\"]";
    let names = match given {
        None => {
            let last = layers.len().checked_sub(1);
            return Ok(vec![last.map_or(Feed::Image, Feed::Layer)]);
        }
        Some(toml::Value::Array(names)) => names,
        Some(other) => return Err(Misfit::field("inputs", wanted, other)),
    };
    let feed = |name: toml::Value| match name {
        toml::Value::String(name) if name == IMAGE => Ok(Feed::Image),
        toml::Value::String(name) => find("inputs", &name, layers).map(Feed::Layer),
        other => Err(Misfit::field("inputs", wanted, other)),
    };
    names.into_iter().map(feed).collect()
}

/// The layer whose weights a layer shares.
fn owner(
    value: &toml::Value,
    kind: &LayerKind,
    input_shape: &[usize],
    layers: &[ResolvedLayer],
) -> Result<usize, Misfit> {
    let toml::Value::String(name) = value else {
        return Err(Misfit::field("shares", "a layer's name", value));
    };
    let index = find("shares", name, layers)?;
    // Of one that shares itself, the owner.
    let index = layers[index].shares.unwrap_or(index);
    let own = kind.tensors(input_shape);
    let theirs = layers[index].tensors();
    if own.is_empty() {
        let found = format!("a {} shares none", kind.type_name());
        return Err(Misfit::field("shares", "a layer with weights", found));
    }
    let same = kind.type_name() == layers[index].kind.type_name()
        && own
            .iter()
            .map(|t| &t.shape)
            .eq(theirs.iter().map(|t| &t.shape));
    if !same {
        let wanted = format!("a {} with weights of the same shapes", kind.type_name());
        return Err(Misfit::field("shares", wanted, format!("`{name}`")));
    }
    if theirs.iter().any(|t| matches!(t.role, Role::Statistic(_))) {
        let wanted = "a layer that keeps no statistics";
        return Err(Misfit::field("shares", wanted, format!("`{name}`")));
    }
    Ok(index)
}

/// Whether all that a layer gives is used, and softmax stands where it may.
pub(super) fn check(layers: &[ResolvedLayer], heads: &[Head]) -> Result<(), Misfit> {
    for (index, layer) in layers.iter().enumerate() {
        let readers: Vec<&ResolvedLayer> = layers
            .iter()
            .filter(|other| other.inputs.contains(&Feed::Layer(index)))
            .collect();
        let is_head = heads.iter().any(|head| head.layer == index);
        if !is_head && readers.is_empty() {
            let wanted = "every layer to be read, or to be the last, or a head";
            return Err(Misfit::new(
                wanted,
                format!("`{}`, which nothing reads", layer.name),
            ));
        }
        let activation = layer.kind.activation();
        if !matches!(activation, Activation::Softmax | Activation::LogSoftmax) {
            continue;
        }
        let found = format!("it in layer `{}`", layer.name);
        let name = activation.name();
        let gates = readers
            .iter()
            .all(|reader| matches!(reader.kind, LayerKind::Mul(_)));
        if is_head && !readers.is_empty() {
            let wanted = format!("a {name} at the end to be read by no other layer");
            return Err(Misfit::new(wanted, found));
        }
        if !gates {
            let wanted = format!("{name} at the end only, or before a mul");
            return Err(Misfit::new(wanted, found));
        }
    }
    Ok(())
}

/// `28 x 28 x 1 of layer `x``.
pub(super) fn described(layer: &ResolvedLayer) -> String {
    format!("{} of layer `{}`", shape(&layer.output_shape), layer.name)
}
