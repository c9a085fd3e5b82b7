//! Layers in libtorch, but for those with chance, and the recurrent ones.

use tch::{Kind, Tensor};

use super::size;
use crate::recipe::{Activation, Convolution, LayerKind, Padding, Pool2d, ResolvedLayer};
use crate::train::TrainError;

/// Images NHWC, as devices have them; all else as it is.
pub(super) fn device_order(values: &Tensor) -> Result<Tensor, TrainError> {
    Ok(match values.dim() {
        4 => values.f_permute([0, 2, 3, 1])?,
        _ => values.shallow_clone(),
    })
}

/// Images NCHW, as libtorch wants them; all else as it is.
pub(super) fn libtorch_order(values: &Tensor) -> Result<Tensor, TrainError> {
    Ok(match values.dim() {
        4 => values.f_permute([0, 3, 1, 2])?,
        _ => values.shallow_clone(),
    })
}

/// What a layer gives, before its activation; `tensors` are its weights.
pub(super) fn run(
    layer: &ResolvedLayer,
    inputs: &[&Tensor],
    tensors: &[&Tensor],
) -> Result<Tensor, TrainError> {
    let x = inputs[0];
    if let Some(conv) = layer.kind.convolution(&layer.input_shape) {
        if let LayerKind::Conv1d(_) = layer.kind {
            // A map of height 1.
            let map = x.f_transpose(1, 2)?.f_unsqueeze(2)?;
            let weight = tensors[0].f_unsqueeze(2)?;
            let y = convolve(&map, &weight, tensors[1], conv, &layer.input_shape)?;
            return Ok(y.f_squeeze_dim(2)?.f_transpose(1, 2)?);
        }
        return convolve(x, tensors[0], tensors[1], conv, &layer.input_shape);
    }
    let batch = |shape: &[usize]| {
        let dims = shape.iter().map(|&dim| size(dim));
        [-1].into_iter().chain(dims).collect::<Vec<i64>>()
    };
    Ok(match &layer.kind {
        LayerKind::MaxPool2d(pool) => max_pool(x, pool, layer)?,
        LayerKind::AvgPool2d(pool) => avg_pool(x, pool, layer)?,
        LayerKind::GlobalMaxPool => x.f_amax(cells(x), false)?,
        LayerKind::GlobalAvgPool => x.f_mean_dim(cells(x), false, Kind::Float)?,
        LayerKind::Flatten => device_order(x)?.f_flatten(1, -1)?,
        LayerKind::Reshape(_) => {
            let values = device_order(x)?.f_reshape(batch(&layer.output_shape))?;
            libtorch_order(&values)?
        }
        LayerKind::Transpose(transpose) => {
            let axes = transpose.axes.iter().map(|&axis| size(axis) + 1);
            let axes: Vec<i64> = [0].into_iter().chain(axes).collect();
            libtorch_order(&device_order(x)?.f_permute(axes)?)?
        }
        LayerKind::Pad(pad) => {
            let amounts = pad.amounts.iter().rev().flatten();
            let amounts: Vec<i64> = amounts.map(|&amount| size(amount)).collect();
            libtorch_order(&device_order(x)?.f_constant_pad_nd(amounts)?)?
        }
        LayerKind::Concat(concat) => {
            let axis = concat.axis.unwrap_or(layer.output_shape.len() - 1);
            let inputs = inputs.iter().map(|x| device_order(x));
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            libtorch_order(&Tensor::f_cat(&inputs, size(axis) + 1)?)?
        }
        LayerKind::Add(_) => fold(inputs, |sum, x| sum.f_add(x))?,
        LayerKind::Mul(_) => fold(inputs, |product, x| product.f_mul(x))?,
        LayerKind::Repeat(_) => {
            let steps = size(layer.output_shape[0]);
            x.f_unsqueeze(1)?.f_repeat([1, steps, 1])?
        }
        LayerKind::Dense(_) => x.f_linear(tensors[0], tensors.get(1).copied())?,
        LayerKind::Prelu => {
            let x = device_order(x)?;
            let below = x.f_mul(tensors[0])?;
            libtorch_order(&x.f_where_self(&x.f_gt(0.0)?, &below)?)?
        }
        LayerKind::Embedding(embedding) => {
            let last = size(embedding.vocabulary.get()) - 1;
            Tensor::f_embedding(tensors[0], &whole(x, last)?, -1, false, false)?
        }
        LayerKind::OneHot(one_hot) => {
            let classes = size(one_hot.classes.get());
            let numbers = whole(x, classes - 1)?;
            numbers.f_one_hot(classes)?.f_to_kind(Kind::Float)?
        }
        _ => x.shallow_clone(),
    })
}

/// Whole numbers from 0 to `last`.
fn whole(x: &Tensor, last: i64) -> Result<Tensor, TrainError> {
    Ok(x.f_to_kind(Kind::Int64)?.f_clamp(0, last)?)
}

/// The axes of an image's cells, or a sequence's steps.
fn cells(values: &Tensor) -> &'static [i64] {
    match values.dim() {
        4 => &[2, 3],
        _ => &[1],
    }
}

fn fold(
    inputs: &[&Tensor],
    join: impl Fn(&Tensor, &Tensor) -> Result<Tensor, tch::TchError>,
) -> Result<Tensor, TrainError> {
    let mut all = inputs[0].shallow_clone();
    for x in &inputs[1..] {
        let mut x = x.shallow_clone();
        if x.dim() == 2 && all.dim() > 2 {
            // A number for each channel: second in an image, last in a sequence.
            let axes: &[i64] = if all.dim() == 4 { &[2, 3] } else { &[1] };
            for axis in axes {
                x = x.f_unsqueeze(*axis)?;
            }
        }
        all = join(&all, &x)?;
    }
    Ok(all)
}

/// An activation.
pub(super) fn activate(values: &Tensor, activation: Activation) -> Result<Tensor, TrainError> {
    let along_last = |function: &dyn Fn(&Tensor) -> Result<Tensor, tch::TchError>| {
        libtorch_order(&function(&device_order(values)?)?)
    };
    Ok(match activation {
        Activation::None => values.shallow_clone(),
        Activation::Relu => values.f_relu()?,
        Activation::Relu6 => values.f_relu6()?,
        Activation::LeakyRelu(slope) => {
            let below = values.f_mul_scalar(f64::from(slope))?;
            values.f_where_self(&values.f_gt(0.0)?, &below)?
        }
        Activation::Sigmoid => values.f_sigmoid()?,
        Activation::HardSigmoid => values.f_hardsigmoid()?,
        Activation::Tanh => values.f_tanh()?,
        Activation::Step => {
            // The second term is 0, and lets a gradient of 0 pass.
            let step = values.f_ge(0.0)?.f_to_kind(Kind::Float)?;
            step.f_add(&values.f_mul_scalar(0.0)?)?
        }
        Activation::Softmax => along_last(&|x| x.f_softmax(-1, None))?,
        Activation::LogSoftmax => along_last(&|x| x.f_log_softmax(-1, None))?,
    })
}

/// Channels second, as libtorch's batch normalization wants them.
fn channels_second(values: &Tensor) -> Result<Tensor, TrainError> {
    Ok(match values.dim() {
        3 => values.f_transpose(1, 2)?,
        _ => values.shallow_clone(),
    })
}

/// By the running statistics; `tensors` are factor, shift, mean, variance.
pub(super) fn normalize(
    values: &Tensor,
    tensors: &[&Tensor],
    epsilon: f64,
) -> Result<Tensor, TrainError> {
    let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|index| Some(tensors[index]));
    let y = channels_second(values)?
        .f_batch_norm(gamma, beta, mean, variance, false, 0.0, epsilon, false)?;
    channels_second(&y)
}

/// By the batch's own statistics, which are added to `statistics`.
pub(super) fn normalize_batch(
    values: &Tensor,
    tensors: &[&Tensor],
    epsilon: f64,
    statistics: &mut Vec<Tensor>,
) -> Result<Tensor, TrainError> {
    let x = channels_second(values)?;
    let (mean, variance) = (tensors[2].f_zeros_like()?, tensors[3].f_zeros_like()?);
    let (gamma, beta) = (Some(tensors[0]), Some(tensors[1]));
    let y = x.f_batch_norm(
        gamma,
        beta,
        Some(&mean),
        Some(&variance),
        true,
        1.0,
        epsilon,
        false,
    )?;
    // One sample has no variance of its own.
    let count = x.numel() as i64 / x.size()[1].max(1);
    let variance = if count > 1 {
        variance
    } else {
        tensors[3].shallow_clone()
    };
    statistics.extend([mean, variance]);
    channels_second(&y)
}

/// Padding of an image, libtorch's way round: columns first.
struct Edges {
    /// The padding of rows and columns, when it is the same before and after.
    even: Option<[i64; 2]>,
    /// Left, right, top, bottom.
    all: [i64; 4],
}

fn edges(padding: Padding, input: &[usize], span: [usize; 2], stride: [usize; 2]) -> Edges {
    let map = match *input {
        [steps, _] => [1, steps],
        [height, width, ..] => [height, width],
        _ => [1, 1],
    };
    let along = |axis: usize| {
        // The recipe has checked that windows fit.
        padding
            .windows(map[axis], span[axis], stride[axis])
            .map_or((0, 0), |w| (w.before, w.after))
    };
    let ((top, bottom), (left, right)) = (along(0), along(1));
    let even = (top == bottom && left == right).then_some([size(top), size(left)]);
    Edges {
        even,
        all: [size(left), size(right), size(top), size(bottom)],
    }
}

pub(super) fn convolve(
    values: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    conv: Convolution,
    input: &[usize],
) -> Result<Tensor, TrainError> {
    let edges = edges(conv.padding, input, conv.span(), conv.stride);
    let (stride, dilation) = (conv.stride.map(size), conv.dilation.map(size));
    let groups = size(conv.groups);
    Ok(match edges.even {
        Some(even) => values.f_conv2d(weight, Some(bias), stride, even, dilation, groups)?,
        None => {
            let padded = values.f_constant_pad_nd(edges.all)?;
            padded.f_conv2d(weight, Some(bias), stride, [0, 0], dilation, groups)?
        }
    })
}

fn pool_windows(pool: &Pool2d) -> ([usize; 2], [usize; 2]) {
    let stride = pool.stride();
    (
        [pool.size.height(), pool.size.width()],
        [stride.height(), stride.width()],
    )
}

pub(super) fn max_pool(
    values: &Tensor,
    pool: &Pool2d,
    layer: &ResolvedLayer,
) -> Result<Tensor, TrainError> {
    let (kernel, stride) = pool_windows(pool);
    let edges = edges(pool.padding, &layer.input_shape, kernel, stride);
    let (kernel, stride) = (kernel.map(size), stride.map(size));
    Ok(match edges.even {
        Some(even) => values.f_max_pool2d(kernel, stride, even, [1, 1], false)?,
        None => values
            .f_pad(edges.all, "constant", f64::NEG_INFINITY)?
            .f_max_pool2d(kernel, stride, [0, 0], [1, 1], false)?,
    })
}

pub(super) fn avg_pool(
    values: &Tensor,
    pool: &Pool2d,
    layer: &ResolvedLayer,
) -> Result<Tensor, TrainError> {
    let (kernel, stride) = pool_windows(pool);
    let edges = edges(pool.padding, &layer.input_shape, kernel, stride);
    let (kernel, stride) = (kernel.map(size), stride.map(size));
    if let Some(even) = edges.even {
        return Ok(values.f_avg_pool2d(kernel, stride, even, false, false, None)?);
    }
    // The mean over what is no padding: sums, divided by how many values each window holds.
    let sums = |values: &Tensor| {
        values.f_constant_pad_nd(edges.all)?.f_avg_pool2d(
            kernel,
            stride,
            [0, 0],
            false,
            true,
            Some(1),
        )
    };
    let one = Tensor::f_ones(&values.size()[2..], (Kind::Float, values.device()))?
        .f_unsqueeze(0)?
        .f_unsqueeze(0)?;
    Ok(sums(values)?.f_div(&sums(&one)?)?)
}
