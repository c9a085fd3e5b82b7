//! The shape rules of the layers, and the ranges of their fields.

use super::activation::Activation;
use super::error::{Misfit, within};
use super::fields::{Gives, Recurrent};
use super::layer::LayerKind;
use super::window::Padding;

impl LayerKind {
    /// Shape of the output for inputs of these shapes.
    pub(super) fn resolve(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, Misfit> {
        self.count(inputs.len())?;
        let input = inputs.first().copied().unwrap_or(&[]);
        if let Some(conv) = self.convolution(input) {
            let map = match self {
                Self::Conv1d(_) => sequence(input).map(|[steps, features]| [1, steps, features])?,
                _ => image(input)?,
            };
            if conv.inputs % conv.groups != 0 || conv.filters % conv.groups != 0 {
                let wanted = format!(
                    "groups that divide the {} channels of the input and the {} filters",
                    conv.inputs, conv.filters
                );
                return Err(Misfit::field("groups", wanted, conv.groups));
            }
            let [rows, columns] = windows(conv.padding, map, conv.span(), conv.stride)?;
            return Ok(match self {
                Self::Conv1d(_) => vec![columns, conv.filters],
                _ => vec![rows, columns, conv.filters],
            });
        }
        if let Some((recurrent, _)) = self.recurrent() {
            return recurrent_shape(self, recurrent, input);
        }
        match self {
            Self::MaxPool2d(pool) | Self::AvgPool2d(pool) => {
                let image = image(input)?;
                let size = [pool.size.height(), pool.size.width()];
                let stride = [pool.stride().height(), pool.stride().width()];
                let [rows, columns] = windows(pool.padding, image, size, stride)?;
                Ok(vec![rows, columns, image[2]])
            }
            Self::GlobalMaxPool | Self::GlobalAvgPool => match input {
                &[_, channels] | &[_, _, channels] => Ok(vec![channels]),
                _ => Err(Misfit::new(
                    "an image [height, width, channels] or a sequence [steps, features]",
                    shape(input),
                )),
            },
            Self::Flatten => Ok(vec![input.iter().product()]),
            Self::Reshape(reshape) => {
                let wanted: Vec<usize> = reshape.shape.iter().map(|size| size.get()).collect();
                let (from, to): (usize, usize) = (input.iter().product(), wanted.iter().product());
                if from == to && (1..=4).contains(&wanted.len()) {
                    return Ok(wanted);
                }
                let fits = format!("one to four dimensions of {from} values in all");
                Err(Misfit::field("shape", fits, shape(&wanted)))
            }
            Self::Transpose(transpose) => {
                let axes = &transpose.axes;
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if sorted.iter().copied().ne(0..input.len()) {
                    let wanted = format!("each axis from 0 to {} once", input.len() - 1);
                    return Err(Misfit::field("axes", wanted, format!("{axes:?}")));
                }
                Ok(axes.iter().map(|&axis| input[axis]).collect())
            }
            Self::Pad(pad) => {
                if pad.amounts.len() != input.len() {
                    let wanted = format!("[before, after] for each of {} axes", input.len());
                    let found = format!("{} of them", pad.amounts.len());
                    return Err(Misfit::field("amounts", wanted, found));
                }
                let most = pad.amounts.iter().flatten().max();
                if let Some(most) = most.filter(|&&most| most > 255) {
                    return Err(Misfit::field("amounts", "up to 255 zeros", most));
                }
                let dims = input.iter().zip(&pad.amounts);
                Ok(dims
                    .map(|(dim, [before, after])| dim + before + after)
                    .collect())
            }
            Self::Concat(concat) => concat_shape(concat.axis, inputs),
            Self::Add(_) | Self::Mul(_) => {
                let channels = &input[input.len().saturating_sub(1)..];
                for other in &inputs[1..] {
                    if *other != input && *other != channels {
                        let wanted = format!(
                            "{} as the first input, or a vector of {}",
                            shape(input),
                            shape(channels)
                        );
                        return Err(Misfit::field("inputs", wanted, shape(other)));
                    }
                }
                Ok(input.to_vec())
            }
            Self::Repeat(repeat) => match input {
                &[features] => Ok(vec![repeat.steps.get(), features]),
                _ => Err(Misfit::new("one dimension", shape(input))),
            },
            Self::Dense(dense) => match input {
                [_] => Ok(vec![dense.units.get()]),
                &[steps, _] => Ok(vec![steps, dense.units.get()]),
                _ => {
                    let wanted = "one dimension (put `type = \"flatten\"` before it), \
                                  or a sequence [steps, features]";
                    Err(Misfit::new(wanted, shape(input)))
                }
            },
            Self::Activation(Activation::LeakyRelu(slope)) => {
                within(
                    "slope",
                    f64::from(*slope),
                    0.0..=1.0,
                    "a number from 0 to 1",
                )?;
                Ok(input.to_vec())
            }
            Self::Rrelu(rrelu) => {
                let range = f64::from(rrelu.lower)..=1.0;
                within(
                    "lower",
                    f64::from(rrelu.lower),
                    0.0..=1.0,
                    "a number from 0 to 1",
                )?;
                within(
                    "upper",
                    f64::from(rrelu.upper),
                    range,
                    "a number from `lower` to 1",
                )?;
                Ok(input.to_vec())
            }
            Self::Dropout(dropout) => {
                within("rate", dropout.rate, 0.0..1.0, "a number from 0 to below 1")?;
                Ok(input.to_vec())
            }
            Self::BatchNorm(norm) => {
                let above = f64::MIN_POSITIVE..=1.0;
                within("epsilon", norm.epsilon, above, "a number above 0, up to 1")?;
                within("momentum", norm.momentum, 0.0..=1.0, "a number from 0 to 1")?;
                Ok(input.to_vec())
            }
            Self::Embedding(embedding) => numbers(input, embedding.units.get()),
            Self::OneHot(one_hot) => numbers(input, one_hot.classes.get()),
            _ => Ok(input.to_vec()),
        }
    }

    /// Whether it reads so many inputs.
    fn count(&self, found: usize) -> Result<(), Misfit> {
        let (wanted, fits) = match self {
            Self::Concat(_) | Self::Add(_) | Self::Mul(_) => {
                ("2 to 4 layers", (2..=4).contains(&found))
            }
            _ => ("1 layer", found == 1),
        };
        if fits {
            return Ok(());
        }
        Err(Misfit::field("inputs", wanted, found))
    }
}

fn image(input: &[usize]) -> Result<[usize; 3], Misfit> {
    let wanted = "an image [height, width, channels]";
    <[usize; 3]>::try_from(input).map_err(|_| Misfit::new(wanted, shape(input)))
}

fn sequence(input: &[usize]) -> Result<[usize; 2], Misfit> {
    let wanted = "a sequence [steps, features] (`type = \"reshape\"` makes one)";
    <[usize; 2]>::try_from(input).map_err(|_| Misfit::new(wanted, shape(input)))
}

/// Rows and columns of windows of `span`.
fn windows(
    padding: Padding,
    [height, width, _]: [usize; 3],
    span: [usize; 2],
    stride: [usize; 2],
) -> Result<[usize; 2], Misfit> {
    let rows = padding.windows(height, span[0], stride[0]);
    let columns = padding.windows(width, span[1], stride[1]);
    rows.zip(columns)
        .map(|(rows, columns)| [rows.count, columns.count])
        .ok_or_else(|| {
            let wanted = format!(
                "an input of at least {} x {} (the window)",
                span[0], span[1]
            );
            Misfit::new(wanted, format!("{height} x {width}"))
        })
}

fn concat_shape(axis: Option<usize>, inputs: &[&[usize]]) -> Result<Vec<usize>, Misfit> {
    let first = inputs.first().copied().unwrap_or(&[]);
    let axis = axis.unwrap_or(first.len().saturating_sub(1));
    if axis >= first.len() {
        let wanted = format!("an axis from 0 to {}", first.len().saturating_sub(1));
        return Err(Misfit::field("axis", wanted, axis));
    }
    let mut output = first.to_vec();
    for other in &inputs[1..] {
        let fits = other.len() == first.len()
            && (0..first.len()).all(|at| at == axis || other[at] == first[at]);
        if !fits {
            let wanted = format!("inputs like {} but along axis {axis}", shape(first));
            return Err(Misfit::field("inputs", wanted, shape(other)));
        }
        output[axis] += other[axis];
    }
    Ok(output)
}

fn recurrent_shape(
    kind: &LayerKind,
    recurrent: &Recurrent,
    input: &[usize],
) -> Result<Vec<usize>, Misfit> {
    let [steps, _] = sequence(input)?;
    let is_rnn = matches!(kind, LayerKind::Rnn(_));
    match recurrent.activation {
        None | Some(Activation::Tanh | Activation::Relu) if is_rnn => {}
        None => {}
        Some(other) if is_rnn => {
            let wanted = "tanh or relu";
            return Err(Misfit::field("activation", wanted, other.name()));
        }
        Some(other) => {
            let wanted = "none given: its gates have their own";
            return Err(Misfit::field("activation", wanted, other.name()));
        }
    }
    if recurrent.stateful && recurrent.bidirectional {
        let wanted = "false for a layer that is bidirectional: it must have seen the end";
        return Err(Misfit::field("stateful", wanted, "true"));
    }
    let units = recurrent.units.get() * if recurrent.bidirectional { 2 } else { 1 };
    Ok(match recurrent.gives {
        Gives::Last => vec![units],
        Gives::Sequence => vec![steps, units],
    })
}

/// A vector for each number of a vector.
fn numbers(input: &[usize], units: usize) -> Result<Vec<usize>, Misfit> {
    match input {
        &[steps] => Ok(vec![steps, units]),
        _ => Err(Misfit::new("one dimension, of whole numbers", shape(input))),
    }
}

/// A shape for people: `28 x 28 x 1`.
pub fn shape(shape: &[usize]) -> String {
    shape
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(" x ")
}
