//! What a network's weights begin as.

use std::f64::consts::TAU;

use crate::checkpoint::Values;
use crate::data::Stream;
use crate::recipe::{Distribution, Initialization, Parameter, ResolvedLayer, Role};

/// The tensors of a layer, in order. Without a word in the recipe: He's uniform initialization where a `rectifier`
/// follows, Glorot's elsewhere, PyTorch's in recurrent layers; biases 0.
///
/// Sources: He et al. 2015, equation 10; Glorot and Bengio 2010, equation 16.
pub(super) fn tensors(layer: &ResolvedLayer, rectifier: bool, stream: &mut Stream) -> Vec<Values> {
    let fan_in = layer.tensors().iter().find_map(|tensor| match tensor.role {
        Role::Weight { fan_in, .. } => Some(fan_in),
        _ => None,
    });
    let root = |fan_in: usize| 1.0 / (fan_in as f32).sqrt();
    let tensors = layer.tensors().into_iter();
    let first = tensors.map(|tensor| {
        let count: usize = tensor.shape.iter().product();
        let values = match &layer.init {
            Some(Initialization::PyTorch) => match (tensor.role, fan_in) {
                (Role::Weight { .. }, Some(fan_in)) => even(root(fan_in), count, stream),
                (_, Some(fan_in)) if tensor.name == "bias" => even(root(fan_in), count, stream),
                (role, _) => usual(role, rectifier, count, stream),
            },
            Some(Initialization::Given(given)) => match given.of(tensor.name) {
                // Rounded once.
                Some(given) if !given.is_empty() => given.iter().map(|&x| x as f32).collect(),
                _ => vec![0.0; count],
            },
            Some(init) if tensor.is_drawn() => drawn(init, &tensor, stream),
            Some(_) if matches!(tensor.role, Role::Uniform(_)) => vec![0.0; count],
            _ => usual(tensor.role, rectifier, count, stream),
        };
        let shape = tensor.shape;
        Values { shape, values }
    });
    first.collect()
}

/// As its role says.
fn usual(role: Role, rectifier: bool, count: usize, stream: &mut Stream) -> Vec<f32> {
    match role {
        Role::Weight { fan_in, fan_out } => {
            let variance = if rectifier {
                2.0 / fan_in as f32
            } else {
                2.0 / (fan_in + fan_out) as f32
            };
            even((3.0 * variance).sqrt(), count, stream)
        }
        Role::Uniform(bound) => even(bound, count, stream),
        Role::Constant(value) | Role::Statistic(value) => vec![value; count],
    }
}

/// As the recipe says.
fn drawn(init: &Initialization, tensor: &Parameter, stream: &mut Stream) -> Vec<f32> {
    let count: usize = tensor.shape.iter().product();
    let [fan_in, fan_out] = match (tensor.role, tensor.shape.as_slice()) {
        (Role::Weight { fan_in, fan_out }, _) => [fan_in, fan_out],
        // `[out, in]`: all gates of a recurrent layer count as outputs.
        (_, [outputs, inputs, ..]) => [*inputs, *outputs],
        _ => [1, 1],
    };
    let mut scaled = |variance: f32, distribution| match distribution {
        Distribution::Uniform => even((3.0 * variance).sqrt(), count, stream),
        Distribution::Normal => normal(0.0, f64::from(variance).sqrt(), count, stream),
    };
    match init {
        Initialization::Glorot(distribution) => {
            scaled(2.0 / (fan_in + fan_out) as f32, *distribution)
        }
        Initialization::He(distribution) => scaled(2.0 / fan_in as f32, *distribution),
        Initialization::Normal(fields) => normal(fields.mean, fields.deviation, count, stream),
        Initialization::Uniform(fields) => {
            let [low, high] = [fields.low, fields.high].map(|bound| bound as f32);
            (0..count).map(|_| stream.uniform(low, high)).collect()
        }
        // What it draws, or gives, has been drawn above.
        Initialization::PyTorch | Initialization::Zeros | Initialization::Given(_) => {
            vec![0.0; count]
        }
    }
}

/// Evenly within ± `bound`.
fn even(bound: f32, count: usize, stream: &mut Stream) -> Vec<f32> {
    (0..count).map(|_| stream.uniform(-bound, bound)).collect()
}

/// Normally distributed, by pairs (Box and Muller 1958).
fn normal(mean: f64, deviation: f64, count: usize, stream: &mut Stream) -> Vec<f32> {
    // 53 bits: from 0 to below 1.
    let mut unit = || (stream.bits() >> 11) as f64 / (1u64 << 53) as f64;
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
        let (sine, cosine) = (TAU * unit()).sin_cos();
        values.extend([cosine, sine].map(|part| (mean + deviation * radius * part) as f32));
    }
    values.truncate(count);
    values
}
