//! By loops as one writes them down, over indices.

use nn_core::fixed_point::rescale;

use super::layers::{Layer, Room};

/// Runs a layer; none for one that is more than loops.
#[inline(never)]
pub(crate) fn run(layer: &Layer, room: &mut Room) -> Option<()> {
    match *layer {
        Layer::Conv(side, inputs, outputs, kernel) => conv(room, side, inputs, outputs, kernel),
        Layer::Depthwise(side, channels) => depthwise(room, side, channels),
        Layer::Pool(side, channels) => pool(room, side, channels),
        Layer::Dense(inputs, outputs) => dense(room, inputs, outputs),
        Layer::Softmax(_) | Layer::Lstm(..) => return None,
    }
    Some(())
}

fn finish(room: &Room, channel: usize, sum: i32) -> i8 {
    let value = rescale(sum, room.multipliers[channel], room.shifts[channel]) - 128;
    // Held to 8 bits.
    value.clamp(-128, 127) as i8
}

fn conv(room: &mut Room, side: usize, inputs: usize, outputs: usize, kernel: usize) {
    for row in 0..side {
        for column in 0..side {
            for output in 0..outputs {
                let mut sum = room.bias[output];
                for i in 0..kernel {
                    for j in 0..kernel {
                        let (y, x) = (row + i, column + j);
                        let before = kernel / 2;
                        if y < before || x < before || y >= side + before || x >= side + before {
                            continue;
                        }
                        let cell = (y - before) * side + x - before;
                        for input in 0..inputs {
                            let x = i32::from(room.x[cell * inputs + input]) + 3;
                            let tap = (output * kernel + i) * kernel + j;
                            sum += x * i32::from(room.weight[tap * inputs + input]);
                        }
                    }
                }
                room.y[(row * side + column) * outputs + output] = finish(room, output, sum);
            }
        }
    }
}

fn depthwise(room: &mut Room, side: usize, channels: usize) {
    for row in 0..side {
        for column in 0..side {
            for channel in 0..channels {
                let mut sum = room.bias[channel];
                for i in 0..3 {
                    for j in 0..3 {
                        let (y, x) = (row + i, column + j);
                        if y < 1 || x < 1 || y > side || x > side {
                            continue;
                        }
                        let x = room.x[((y - 1) * side + x - 1) * channels + channel];
                        let weight = room.weight[(i * 3 + j) * channels + channel];
                        sum += (i32::from(x) + 3) * i32::from(weight);
                    }
                }
                room.y[(row * side + column) * channels + channel] = finish(room, channel, sum);
            }
        }
    }
}

fn pool(room: &mut Room, side: usize, channels: usize) {
    for row in 0..side / 2 {
        for column in 0..side / 2 {
            for channel in 0..channels {
                let mut largest = i8::MIN;
                for i in 0..2 {
                    for j in 0..2 {
                        let cell = (2 * row + i) * side + 2 * column + j;
                        largest = largest.max(room.x[cell * channels + channel]);
                    }
                }
                room.y[(row * (side / 2) + column) * channels + channel] = largest;
            }
        }
    }
}

fn dense(room: &mut Room, inputs: usize, outputs: usize) {
    for output in 0..outputs {
        let mut sum = room.bias[output];
        for input in 0..inputs {
            let x = i32::from(room.x[input]) + 3;
            sum += x * i32::from(room.weight[output * inputs + input]);
        }
        room.y[output] = finish(room, output, sum);
    }
}
