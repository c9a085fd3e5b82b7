//! Poolings.

use nn_core::ops::Pool2d;
use nn_core::tensor::Shape;

use super::{Outcome, ROOM, Room, Trials};

impl Trials {
    /// A max pooling.
    pub fn max_pool2d(&mut self, room: &mut Room) -> Outcome {
        self.pooling(room, Pool2d::max_i8, |cells| {
            let largest = cells.fold(i8::MIN, |largest, x| largest.max(x));
            i32::from(largest)
        })
    }

    /// An average pooling: halves away from zero.
    pub fn avg_pool2d(&mut self, room: &mut Room) -> Outcome {
        self.pooling(room, Pool2d::mean_i8, |cells| {
            let (sum, count) =
                cells.fold((0, 0), |(sum, count), x| (sum + i32::from(x), count + 1));
            let sum = 2 * sum + if sum > 0 { count } else { -count };
            sum / (2 * count)
        })
    }

    fn pooling(
        &mut self,
        room: &mut Room,
        kernel: fn(&Pool2d, Shape, &[i8], &mut [i8]) -> Option<()>,
        naive: fn(&mut dyn Iterator<Item = i8>) -> i32,
    ) -> Outcome {
        let mut draw = |limit: u32| 1 + self.below(limit) as u16;
        let [height, width, channels] = [draw(12), draw(12), draw(20)];
        let window = match draw(2) {
            1 => [2, 2],
            _ => [draw(5), draw(5)],
        };
        let stride = match draw(2) {
            1 => window,
            _ => [draw(4), draw(4)],
        };
        // Less than the window, in 8 bits.
        let mut pad = |index: usize| (draw(u32::from(window[index])) - 1) as u8;
        let padding = [pad(0), pad(1), pad(0), pad(1)];
        let pool = Pool2d {
            kernel: window,
            stride,
            padding,
        };
        let Some(shape) = Shape::new(&[height, width, channels].map(usize::from)) else {
            return Outcome::Refused;
        };
        let Some(output) = pool.output_shape(shape) else {
            return Outcome::Refused;
        };
        let (x_len, y_len) = (
            shape.elements().unwrap_or(usize::MAX),
            output.elements().unwrap_or(usize::MAX),
        );
        if x_len > ROOM || y_len > ROOM {
            return Outcome::Refused;
        }
        let x = &mut room.x[..x_len];
        self.fill(x, -128);
        let y = &mut room.y[..y_len];
        if kernel(&pool, shape, x, y).is_none() {
            return Outcome::Refused;
        }
        let [height, width, channels] = [height, width, channels].map(usize::from);
        let &[_, columns, _] = output.dims() else {
            return Outcome::Refused;
        };
        let [down, along] = stride.map(usize::from);
        let [top, left, ..] = padding.map(usize::from);
        for (index, y) in y.iter().enumerate() {
            let (cell, channel) = (index / channels, index % channels);
            let (row, column) = (cell / columns as usize, cell % columns as usize);
            let cells = usize::from(window[0]) * usize::from(window[1]);
            let mut inside = (0..cells).filter_map(|tap| {
                let (i, j) = (tap / usize::from(window[1]), tap % usize::from(window[1]));
                let row = (row * down + i)
                    .checked_sub(top)
                    .filter(|row| *row < height)?;
                let column = (column * along + j).checked_sub(left);
                let column = column.filter(|column| *column < width)?;
                Some(x[(row * width + column) * channels + channel])
            });
            if i32::from(*y) != naive(&mut inside) {
                return Outcome::Different(index);
            }
        }
        Outcome::Equal
    }
}
