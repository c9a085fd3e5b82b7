//! By the crate `embedded-nn`.

use embedded_nn::convolution::{convolve_per_channel_s8, depthwise_conv_per_channel_s8};
use embedded_nn::fully_connected::fully_connected_per_channel_s8;
use embedded_nn::pooling::max_pool_s8;
use embedded_nn::recurrent::{LstmGateParams, lstm_step_s8_s16};
use embedded_nn::softmax::softmax_s8;
use embedded_nn::{
    Activation, ConvParams, Dims, DwConvParams, FcParams, PerChannelQuantParams,
    PerTensorQuantParams, PoolParams, Tile,
};

use super::layers::{Layer, Room};

const ALL: Activation = Activation::int8_unconstrained();
const ONE: Tile = Tile::new(1, 1);

/// Runs a layer.
#[inline(never)]
pub(crate) fn run(layer: &Layer, room: &mut Room) -> Option<()> {
    let quant = PerChannelQuantParams::new(&room.multipliers, &room.shifts);
    // Sizes of a few bits.
    let dims =
        |n: usize, h: usize, w: usize, c: usize| Dims::new(n as i32, h as i32, w as i32, c as i32);
    let bias = Some(&room.bias[..]);
    let (x, weight, y) = (&room.x[..], &room.weight[..], &mut room.y[..]);
    let ran = match *layer {
        Layer::Conv(side, inputs, outputs, kernel) => convolve_per_channel_s8(
            &ConvParams {
                input_offset: 3,
                output_offset: -128,
                stride: ONE,
                padding: Tile::new(kernel as i32 / 2, kernel as i32 / 2),
                dilation: ONE,
                activation: ALL,
            },
            &quant,
            &dims(1, side, side, inputs),
            x,
            &dims(outputs, kernel, kernel, inputs),
            weight,
            bias,
            &dims(1, side, side, outputs),
            y,
        ),
        Layer::Depthwise(side, channels) => depthwise_conv_per_channel_s8(
            &DwConvParams {
                input_offset: 3,
                output_offset: -128,
                ch_mult: 1,
                stride: ONE,
                padding: ONE,
                dilation: ONE,
                activation: ALL,
            },
            &quant,
            &dims(1, side, side, channels),
            x,
            &dims(1, 3, 3, channels),
            weight,
            bias,
            &dims(1, side, side, channels),
            y,
        ),
        Layer::Pool(side, channels) => max_pool_s8(
            &PoolParams {
                stride: Tile::new(2, 2),
                padding: Tile::new(0, 0),
                activation: ALL,
            },
            &Tile::new(2, 2),
            &dims(1, side, side, channels),
            x,
            &dims(1, side / 2, side / 2, channels),
            y,
        ),
        Layer::Dense(inputs, outputs) => fully_connected_per_channel_s8(
            &FcParams {
                input_offset: 3,
                filter_offset: 0,
                output_offset: -128,
                activation: ALL,
            },
            &quant,
            &dims(1, 1, 1, inputs),
            x,
            &dims(inputs, 1, 1, outputs),
            weight,
            bias,
            &dims(1, 1, 1, outputs),
            y,
        ),
        // A step of 1 / 32, in 5 bits before the point.
        Layer::Softmax(classes) => softmax_s8(x, 1, classes, 1 << 30, 22, -248, y),
        Layer::Lstm(steps, inputs, units) => {
            let (kernel, recurrent) = weight.split_at(4 * units * inputs);
            let (hidden, cell) = (&mut y[..units], &mut room.cell[..units]);
            hidden.fill(0);
            cell.fill(0);
            let gates = LstmGateParams {
                input_offset: 3,
                hidden_offset: 0,
                multiplier: 1 << 30,
                shift: 0,
            };
            x.chunks_exact(inputs).take(steps).try_for_each(|x| {
                lstm_step_s8_s16(
                    x,
                    hidden,
                    cell,
                    kernel,
                    recurrent,
                    &room.bias,
                    &gates,
                    i16::MAX,
                    &PerTensorQuantParams::new(1 << 30, -7),
                    0,
                    &ALL,
                )
            })
        }
    };
    ran.ok()
}
