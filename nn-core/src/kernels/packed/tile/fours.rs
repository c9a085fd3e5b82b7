//! Four pixels of a channel in a word: a depthwise convolution in sums of three products for each tap.
//!
//! As `quads`, with the parts of inputs and weights exchanged: byte i of a word is x\[i\] + 128 of four pixels side by side,
//! what multiplies it a weight. The sums begin with −128·Σ w of each byte.

use super::quads;
use crate::kernels::packed::channel::LEN;

/// Pixels of a word.
pub(in super::super) const PIXELS: usize = 4;

/// Where the inputs of a channel lie.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Fours {
    /// Rows and columns of the kernel.
    pub(in super::super) kernel: [usize; 2],
    /// Bytes from row to row.
    pub(in super::super) pitch: usize,
    /// A column of a row is in the part of this number of parts that the column's number leaves, …
    pub(in super::super) parts: usize,
    /// … each of so many bytes, so that four pixels are side by side whatever the stride.
    pub(in super::super) part: usize,
    /// Bytes of a row that lie before the end of the last word that four pixels want.
    #[cfg(mote_armv6m)]
    pub(in super::super) reach: usize,
}

/// A channel.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Channel<'w> {
    /// Its weights, each second number, row by row.
    pub(in super::super) weights: &'w [i16],
    /// Its numbers of the table.
    pub(in super::super) table: &'w [i32; LEN],
}

impl Fours {
    /// What the three sums begin with.
    pub(super) fn start(&self, channel: &Channel) -> i32 {
        let [rows, columns] = self.kernel;
        let weights = channel.weights.iter().step_by(2).take(rows * columns);
        quads::start(weights.fold(0, |sum, weight| sum + i32::from(*weight)))
    }

    /// The three sums of four pixels, of which the first one's first tap is the first of `x`.
    #[cfg(not(mote_armv6m))]
    #[inline(always)]
    pub(super) fn sums(&self, x: &[u8], channel: &Channel, start: i32) -> [i32; 3] {
        let [rows, columns] = self.kernel;
        let mut sums = [start; 3];
        let [plain, reversed, swapped] = &mut sums;
        let weights = channel.weights.chunks(2 * columns.max(1));
        for (row, weights) in (0..rows).zip(weights) {
            let (mut at, mut part) = (row * self.pitch, 0);
            for weight in weights.iter().step_by(2) {
                let four = x.get(at..).and_then(|x| x.first_chunk());
                let four = u32::from_le_bytes(four.copied().unwrap_or_default()).cast_signed();
                let weight = i32::from(*weight);
                let back = four.swap_bytes();
                *plain = plain.wrapping_add(four.wrapping_mul(weight));
                *reversed = reversed.wrapping_add(back.wrapping_mul(weight));
                *swapped = swapped.wrapping_add(back.rotate_left(16).wrapping_mul(weight));
                (at, part) = (at + self.part, part + 1);
                if part == self.parts {
                    (at, part) = (at + 1 - part * self.part, 0);
                }
            }
        }
        sums
    }

    /// The outputs of `fours` times four pixels, `step` numbers from one to the next, in Rust.
    #[cfg(not(mote_armv6m))]
    #[cfg_attr(mote_armv7m, inline(never))] // Stack.
    pub(super) fn run_portable(
        &self,
        x: &[u8],
        channel: &Channel,
        (y, step): (&mut [i8], usize),
        fours: usize,
    ) {
        let start = self.start(channel);
        let mut places = y.iter_mut().step_by(step.max(1));
        for four in 0..fours {
            let x = x.get(PIXELS * four..).unwrap_or(&[]);
            let doubled = quads::split(self.sums(x, channel, start));
            // This way round, no place is lost where four are stored.
            for (output, place) in outputs(&doubled, channel.table).iter().zip(&mut places) {
                *place = *output;
            }
        }
    }
}

/// The outputs of four doubled sums of a channel.
#[cfg(not(mote_armv6m))]
#[inline(always)]
pub(super) fn outputs(doubled: &[i32; PIXELS], table: &[i32; LEN]) -> [i8; PIXELS] {
    let of =
        |sum: i32| crate::kernels::packed::channel::requantize(table[0].wrapping_add(sum), *table);
    doubled.map(of)
}

#[cfg(not(any(mote_armv7m, mote_armv6m)))]
impl Fours {
    /// The outputs of `fours` times four pixels of a channel, `step` numbers from one to the next; `x` begins where their
    /// first tap lies.
    #[inline(never)]
    pub(in super::super) fn run(
        &self,
        x: &[u8],
        channel: &Channel,
        y: (&mut [i8], usize),
        fours: usize,
    ) {
        self.run_portable(x, channel, y, fours);
    }
}
