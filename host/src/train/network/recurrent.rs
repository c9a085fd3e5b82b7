//! Recurrent layers in libtorch.

use tch::{Kind, Tensor};

use super::size;
use crate::recipe::{Activation, Gives, LayerKind};
use crate::train::TrainError;

/// What a recurrent layer gives for `x`, `[N, steps, features]`. `tensors` are, for each direction, the kernels of input
/// and state, the bias, and for a GRU the bias of the state's product.
pub(super) fn run(kind: &LayerKind, x: &Tensor, tensors: &[&Tensor]) -> Result<Tensor, TrainError> {
    let Some((recurrent, _)) = kind.recurrent() else {
        return Ok(x.shallow_clone());
    };
    let both = recurrent.bidirectional;
    let directions = 1 + usize::from(both);
    let mut parameters = Vec::new();
    for own in tensors.chunks((tensors.len() / directions).max(1)) {
        parameters.extend(own.iter().map(|tensor| tensor.shallow_clone()));
        if own.len() == 3 {
            // libtorch adds two biases; one is enough.
            parameters.push(own[2].f_zeros_like()?.f_detach()?);
        }
    }
    let batch = x.size()[0];
    let units = size(recurrent.units.get());
    let shape = [size(directions), batch, units];
    let zeros = Tensor::f_zeros(shape, (Kind::Float, x.device()))?;
    let (all, last) = match kind {
        LayerKind::Lstm(_) => {
            let start = [zeros.shallow_clone(), zeros];
            let (all, last, _) = x.f_lstm(&start, &parameters, true, 1, 0.0, false, both, true)?;
            (all, last)
        }
        LayerKind::Gru(_) => x.f_gru(&zeros, &parameters, true, 1, 0.0, false, both, true)?,
        _ if recurrent.activation == Some(Activation::Relu) => {
            x.f_rnn_relu(&zeros, &parameters, true, 1, 0.0, false, both, true)?
        }
        _ => x.f_rnn_tanh(&zeros, &parameters, true, 1, 0.0, false, both, true)?,
    };
    Ok(match recurrent.gives {
        Gives::Sequence => all,
        // [directions, N, units] to the states side by side.
        Gives::Last => last.f_permute([1, 0, 2])?.f_flatten(1, -1)?,
    })
}
