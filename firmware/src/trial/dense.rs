//! Dense layers.

use nn_core::kernels::packed::dense;
use nn_core::ops;

use super::{CHANNELS, Factors, Outcome, ROOM, Room, Trials, finish};

impl Trials {
    /// A dense layer, packed and plain.
    pub fn dense(&mut self, room: &mut Room) -> Outcome {
        let (inputs, outputs) = match self.below(8) {
            // About as many as a sum has room for.
            0 => (450 + self.below(80), 1 + self.below(8)),
            _ => (1 + self.below(100), 1 + self.below(40)),
        };
        let [words, table, scratch] = dense::sizes(inputs, outputs);
        if [inputs * outputs, words, scratch]
            .iter()
            .any(|len| *len > ROOM)
        {
            return Outcome::Refused;
        }
        let weight = &mut room.weight[..inputs * outputs];
        let lowest = self.lowest();
        self.fill(weight, lowest);
        let x = &mut room.x[..inputs];
        self.fill(x, -128);
        let channels = &mut room.channels[..outputs];
        self.channels(channels, inputs);
        let zeros = self.zeros();
        let range = self.range(zeros[1]);
        let mut wanted = [0; CHANNELS];
        let rows = weight.chunks_exact(inputs);
        for ((row, plain), wanted) in rows.zip(channels.iter()).zip(&mut wanted) {
            let sum = row.iter().zip(x.iter()).fold(0i32, |sum, (w, x)| {
                sum + i32::from(*w) * (i32::from(*x) - i32::from(zeros[0]))
            });
            *wanted = finish(sum, plain, zeros[1], range);
        }
        let wanted = &wanted[..outputs];

        let factors = Factors::new(channels);
        let y = &mut room.over[..outputs];
        let requant = factors.requant(zeros[1], range);
        ops::dense::forward_i8(x, weight, i32::from(zeros[0]), &requant, y);
        if let Some(index) = (0..outputs).find(|index| y[*index] != wanted[*index]) {
            return Outcome::Different(index);
        }

        let (words, table) = (&mut room.words[..words], &mut room.table[..table]);
        let layout = self.layout();
        if dense::pack(layout, weight, inputs, channels, zeros, (words, table)).is_err() {
            return Outcome::Refused;
        }
        let y = &mut room.y[..outputs];
        let scratch = &mut room.scratch[..scratch];
        dense::forward(layout, x, words, table, range, scratch, y);
        match (0..outputs).find(|index| y[*index] != wanted[*index]) {
            Some(index) => Outcome::Different(index),
            None => Outcome::Equal,
        }
    }
}
