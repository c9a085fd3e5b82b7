//! Random LSTMs.

use nn_core::kernels::packed::lstm::{self, Layer, Lstm};
use nn_core::ops::recurrent::Walk;
use nn_core::ops::recurrent::int8::{self, LstmI8, StateI8, WeightsI8};

use super::{Outcome, ROOM, Room, Trials};

/// Units of the largest trial.
const UNITS: usize = 20;
/// Inputs of the largest.
const INPUTS: usize = 40;
/// Steps of the longest.
const STEPS: usize = 6;

impl Trials {
    /// The factors of a layer: 20 numbers.
    fn lstm_factors(&mut self) -> [i32; 20] {
        let mut requant = [0; 20];
        for (index, pair) in requant.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            // Sums reach about 2^15 for 12 bits of a fraction; an output is a product of 30 bits for 8.
            let shift = match index {
                8 => -20 - self.below(6) as i32,
                _ => 3 - self.below(12) as i32,
            };
            let multiplier = match self.below(8) {
                0 => 1 << 30,
                1 => i32::MAX,
                _ => (self.rng.draw() >> 2 | 1 << 30) as i32,
            };
            *pair = [multiplier, shift];
        }
        let exponent = match self.below(2) {
            0 => -12,
            _ => -9 - self.below(20) as i32,
        };
        let clip = match self.below(3) {
            0 => 1 + self.below(32_767) as i32,
            _ => 0,
        };
        [requant[18], requant[19]] = [exponent, clip];
        requant
    }

    /// An LSTM, packed and plain, over a sequence: all outputs, and the cell in the end.
    pub fn lstm(&mut self, room: &mut Room) -> Outcome {
        let (inputs, units) = (1 + self.below(INPUTS as u32), 1 + self.below(UNITS as u32));
        let steps = 1 + self.below(STEPS as u32);
        let rows = 4 * units;
        let layout = self.layout();
        let [words, scratch] = lstm::sizes(layout, inputs, units);
        if [rows * (inputs + units), words, scratch, steps * inputs]
            .iter()
            .any(|len| *len > ROOM)
        {
            return Outcome::Refused;
        }
        let (kernel, rest) = room.weight.split_at_mut(rows * inputs);
        let recurrent = &mut rest[..rows * units];
        let lowest = self.lowest();
        self.fill(kernel, lowest);
        self.fill(recurrent, lowest);
        let x = &mut room.x[..steps * inputs];
        self.fill(x, -128);
        let mut biases = [[0; 4 * UNITS]; 2];
        for bias in biases.as_flattened_mut() {
            *bias = self.rng.draw() as i32 >> (9 + self.below(20));
        }
        let none = self.below(2) == 0;
        let [bias, recurrent_bias] = [
            &biases[0][..rows],
            &biases[1][..if none { 0 } else { rows }],
        ];
        let zeros = self.zeros();
        let requant = self.lstm_factors();
        let plain = lstm::Plain {
            kernel,
            recurrent,
            bias,
            recurrent_bias,
            requant: &requant,
            zeros,
        };
        let words = &mut room.words[..words];
        let mut table = [0; lstm::TABLE];
        if lstm::pack(layout, &plain, inputs, units, (words, &mut table)).is_err() {
            return Outcome::Refused;
        }
        assert!(lstm::is_valid(&table), "a table that the loader refuses");
        let layer = Layer {
            layout,
            weights: words,
            table: &table,
            inputs,
            units,
        };
        let mut cell = [0; UNITS];
        let cell = &mut cell[..units];
        // What lay in scratch before has no part in it.
        room.scratch[..scratch].fill(0x5555_5555);
        let Some(mut packed) = Lstm::new(layer, zeros[1], &mut room.scratch[..scratch], cell)
        else {
            return Outcome::Different(usize::MAX);
        };
        let y = &mut room.y[..steps * units];
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(units)) {
            packed.step(x);
            for (y, h) in y.iter_mut().zip(packed.hidden()) {
                *y = *h as i8;
            }
        }
        let walk = Walk {
            steps,
            inputs,
            units,
            repeat: false,
            reverse: false,
            whole: true,
            truncate: 0,
        };
        let weights = WeightsI8 {
            kernel,
            recurrent,
            bias,
            recurrent_bias,
            requant: &requant,
            zeros,
        };
        let (mut hidden, mut wide) = ([zeros[1]; UNITS], [0; UNITS]);
        let mut state = StateI8 {
            hidden: &mut hidden[..units],
            wide: &mut wide[..units],
        };
        let (mut gates, over) = ([0; 4 * UNITS], &mut room.over[..steps * units]);
        int8::forward(
            LstmI8,
            &walk,
            x,
            &weights,
            &mut state,
            &mut gates[..rows],
            over,
        );
        if let Some(index) = y
            .iter()
            .zip(over.iter())
            .position(|(y, wanted)| y != wanted)
        {
            return Outcome::Different(index);
        }
        let same = cell.iter().zip(&wide).all(|(cell, wanted)| cell == wanted);
        match same {
            true => Outcome::Equal,
            false => Outcome::Different(y.len()),
        }
    }
}
