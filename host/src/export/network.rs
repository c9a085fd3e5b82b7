//! A recipe's layers with a checkpoint's weights, as they run: without dropout, each activation
//! apart.

use nn_core::ops::Pool2d;

use super::ExportError;
use crate::checkpoint::Checkpoint;
use crate::recipe::{self, Activation, LayerKind, Padding, Pair, Recipe, ResolvedLayer};

/// A trained network.
#[derive(Debug, Clone)]
pub struct Network {
    pub(super) name: String,
    /// Height, width and channels of the image that it reads.
    pub(super) input: [usize; 3],
    pub(super) layers: Vec<Layer>,
}

/// One step of a network.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// The recipe's name for it; for the activation of a layer, that layer's name and the
    /// activation's.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a layer computes.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Conv2d(Conv2d),
    Dense(Dense),
    MaxPool2d(Pool2d),
    AvgPool2d(Pool2d),
    Flatten,
    Activation(Activation),
}

/// A convolution.
#[derive(Debug, Clone)]
pub(super) struct Conv2d {
    /// `[out, kernel_h, kernel_w, in]`.
    pub(super) weight: Vec<f32>,
    /// Its shape.
    pub(super) shape: [usize; 4],
    pub(super) bias: Vec<f32>,
    pub(super) stride: [u16; 2],
    pub(super) padding: [u8; 4],
}

/// A dense layer.
#[derive(Debug, Clone)]
pub(super) struct Dense {
    /// `[out, in]`.
    pub(super) weight: Vec<f32>,
    /// Its shape.
    pub(super) shape: [usize; 2],
    pub(super) bias: Vec<f32>,
}

impl Network {
    /// The layers of `recipe` with the weights of `checkpoint`.
    ///
    /// # Errors
    /// A parameter that is missing, too many, of another shape, or not finite; a window that the
    /// blob format cannot hold.
    pub fn new(recipe: &Recipe, checkpoint: &Checkpoint) -> Result<Self, ExportError> {
        let mut layers = Vec::new();
        let mut known = Vec::new();
        for layer in recipe.layers() {
            let kind = match &layer.kind {
                LayerKind::Conv2d(conv) => Kind::Conv2d(read_conv(layer, conv, checkpoint)?),
                LayerKind::Dense(_) => Kind::Dense(read_dense(layer, checkpoint)?),
                LayerKind::MaxPool2d(pool) => Kind::MaxPool2d(window(layer, pool)?),
                LayerKind::AvgPool2d(pool) => Kind::AvgPool2d(window(layer, pool)?),
                LayerKind::Flatten => Kind::Flatten,
                LayerKind::Activation(Activation::None) | LayerKind::Dropout(_) => continue,
                LayerKind::Activation(activation) => Kind::Activation(*activation),
            };
            let has_parameters = matches!(kind, Kind::Conv2d(_) | Kind::Dense(_));
            layers.push(Layer {
                name: layer.name.clone(),
                kind,
            });
            if has_parameters {
                known.extend([weight_name(layer), bias_name(layer)]);
                let activation = layer.kind.activation();
                if activation != Activation::None {
                    let kind = LayerKind::Activation(activation);
                    layers.push(Layer {
                        name: format!("{}.{}", layer.name, kind.type_name()),
                        kind: Kind::Activation(activation),
                    });
                }
            }
        }
        let unknown: Vec<&str> = checkpoint
            .parameters()
            .map(|(name, _)| name)
            .filter(|name| !known.iter().any(|known| known == name))
            .collect();
        if !unknown.is_empty() {
            let found = unknown.join(", ");
            return Err(ExportError::Unknown { found });
        }
        Ok(Self {
            name: recipe.name.clone(),
            input: recipe.set().shape,
            layers,
        })
    }
}

fn weight_name(layer: &ResolvedLayer) -> String {
    format!("{}.weight", layer.name)
}

fn bias_name(layer: &ResolvedLayer) -> String {
    format!("{}.bias", layer.name)
}

/// The tensor `name`, of finite numbers.
fn read<'c>(
    checkpoint: &'c Checkpoint,
    name: String,
    shape: &[usize],
) -> Result<&'c [f32], ExportError> {
    let values = &checkpoint.tensor(&name, shape)?.values;
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(ExportError::NotFinite {
            name,
            index,
            found: values[index],
        }),
        None => Ok(values),
    }
}

fn read_conv(
    layer: &ResolvedLayer,
    conv: &recipe::Conv2d,
    checkpoint: &Checkpoint,
) -> Result<Conv2d, ExportError> {
    let (out, inputs) = (
        conv.filters.get(),
        layer.input_shape.last().copied().unwrap_or(0),
    );
    let (height, width) = (conv.kernel.height(), conv.kernel.width());
    let weight = read(
        checkpoint,
        weight_name(layer),
        &[out, inputs, height, width],
    )?;
    let bias = read(checkpoint, bias_name(layer), &[out])?;
    let geometry = geometry(layer, conv.kernel, conv.stride, conv.padding)?;
    // libtorch's OIHW to OHWI.
    let mut transposed = Vec::with_capacity(weight.len());
    for filter in weight.chunks_exact(inputs * height * width) {
        for tap in 0..height * width {
            transposed.extend(filter.iter().skip(tap).step_by(height * width));
        }
    }
    Ok(Conv2d {
        weight: transposed,
        shape: [out, height, width, inputs],
        bias: bias.to_vec(),
        stride: geometry.stride,
        padding: geometry.padding,
    })
}

fn read_dense(layer: &ResolvedLayer, checkpoint: &Checkpoint) -> Result<Dense, ExportError> {
    let shape = [
        layer.output_shape.iter().product(),
        layer.input_shape.iter().product(),
    ];
    let weight = read(checkpoint, weight_name(layer), &shape)?;
    let bias = read(checkpoint, bias_name(layer), &shape[..1])?;
    Ok(Dense {
        weight: weight.to_vec(),
        shape,
        bias: bias.to_vec(),
    })
}

fn window(layer: &ResolvedLayer, pool: &recipe::Pool2d) -> Result<Pool2d, ExportError> {
    geometry(layer, pool.size, pool.stride(), pool.padding)
}

fn geometry(
    layer: &ResolvedLayer,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
) -> Result<Pool2d, ExportError> {
    let along = |axis: usize, kernel: usize, stride: usize| {
        let input = layer.input_shape.get(axis).copied().unwrap_or(0);
        // The recipe has checked that windows fit.
        let windows = padding.windows(input, kernel, stride);
        windows.map_or((0, 0), |windows| (windows.before, windows.after))
    };
    let (top, bottom) = along(0, kernel.height(), stride.height());
    let (left, right) = along(1, kernel.width(), stride.width());
    Ok(Pool2d {
        kernel: [
            narrow(layer, kernel.height())?,
            narrow(layer, kernel.width())?,
        ],
        stride: [
            narrow(layer, stride.height())?,
            narrow(layer, stride.width())?,
        ],
        padding: [
            narrow(layer, top)?,
            narrow(layer, left)?,
            narrow(layer, bottom)?,
            narrow(layer, right)?,
        ],
    })
}

/// A size as the blob holds it.
fn narrow<T: TryFrom<usize>>(layer: &ResolvedLayer, found: usize) -> Result<T, ExportError> {
    T::try_from(found).map_err(|_| ExportError::Window {
        layer: layer.name.clone(),
        found,
    })
}
