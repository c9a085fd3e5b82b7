//! The innermost loops in Rust.

#[cfg(mote_armv6m)]
use super::armv6m::{Loop, outputs};
#[cfg(not(mote_armv6m))]
use super::parts;
use super::quads;
#[cfg(not(mote_armv6m))]
use super::quads::QuadSums;
#[cfg(not(mote_armv6m))]
use super::sums::{BlockSums, PixelSums};
use super::{Blocks, CHANNELS, Lines, Output, Pool};
use crate::kernels::packed::channel::LEN;
#[cfg(not(mote_armv6m))]
use crate::kernels::packed::channel::requantize;

/// The sums of a block at two pixels, in a layout's form.
#[cfg(not(mote_armv6m))]
trait Pair: Default {
    /// Goes on by two taps.
    fn step(&mut self, weights: &[i32; 2], x: [[i16; 2]; 2]);

    /// Twice the channels' sums, given the sums of the inputs.
    fn doubled(self, inputs: [i32; 2]) -> [[i32; CHANNELS]; 2];
}

#[cfg(not(mote_armv6m))]
impl Pair for BlockSums {
    #[inline(always)]
    fn step(&mut self, weights: &[i32; 2], x: [[i16; 2]; 2]) {
        self.step(weights, x);
    }

    #[inline(always)]
    fn doubled(self, _: [i32; 2]) -> [[i32; CHANNELS]; 2] {
        let [a0, b0, a1, b1, c0, d0, c1, d1] = self.sums();
        [doubled([a0, a1, c0, c1]), doubled([b0, b1, d0, d1])]
    }
}

#[cfg(not(mote_armv6m))]
impl Pair for [QuadSums; 2] {
    #[inline(always)]
    fn step(&mut self, weights: &[i32; 2], x: [[i16; 2]; 2]) {
        for (sums, x) in self.iter_mut().zip(x) {
            sums.step(weights, x);
        }
    }

    #[inline(always)]
    fn doubled(self, [first, second]: [i32; 2]) -> [[i32; CHANNELS]; 2] {
        let [a, b] = self;
        [a.doubled(first), b.doubled(second)]
    }
}

/// A loop over blocks at two pixels, with all that is the same at each pair of pixels.
#[derive(Debug)]
pub(in super::super) struct Kernel<'w> {
    inputs: Inputs,
    blocks: Blocks<'w>,
}

/// How the inputs lie.
#[derive(Debug)]
enum Inputs {
    Lines(Lines),
    /// Depthwise in layout 1: the lines of a plane, halves from plane to plane, the first plane.
    #[cfg(not(mote_armv6m))]
    Planes(Lines, usize, usize),
    /// The words of both pixels alternate: so many of both.
    #[cfg(not(mote_armv6m))]
    Pairs(usize),
}

impl<'w> Kernel<'w> {
    /// The inputs lie in lines.
    pub(in super::super) fn lines(lines: &Lines, blocks: &Blocks<'w>) -> Option<Self> {
        Self::new(Inputs::Lines(*lines), blocks)
    }

    /// Depthwise: the inputs lie in lines of two planes for each block, `plane` halves from one to the next. Block 0 is
    /// number `first` of them.
    #[cfg(not(mote_armv6m))]
    pub(in super::super) fn depthwise(
        lines: &Lines,
        plane: usize,
        first: usize,
        blocks: &Blocks<'w>,
    ) -> Option<Self> {
        Self::new(Inputs::Planes(*lines, plane, 2 * first), blocks)
    }

    /// The words of both pixels alternate: so many halves of both.
    #[cfg(not(mote_armv6m))]
    pub(in super::super) fn pairs(halves: usize, blocks: &Blocks<'w>) -> Option<Self> {
        Self::new(Inputs::Pairs(halves / 2), blocks)
    }

    fn new(inputs: Inputs, blocks: &Blocks<'w>) -> Option<Self> {
        let blocks = *blocks;
        (!blocks.table.is_empty()).then_some(Self { inputs, blocks })
    }

    /// Runs it at two pixels, the sums of whose inputs are known where the layout wants them.
    #[inline]
    pub(in super::super) fn run(&mut self, x: &[i16], inputs: [i32; 2], out: Output) {
        match &self.inputs {
            Inputs::Lines(lines) => self.run_lines(lines, x, inputs, out),
            #[cfg(not(mote_armv6m))]
            Inputs::Planes(lines, plane, first) => self.run_planes(lines, *plane, *first, x, out),
            #[cfg(not(mote_armv6m))]
            Inputs::Pairs(words) => self.run_pairs(*words, x, out),
        }
    }

    // Each in a frame of its own: in one, they would take the stack of all.

    #[inline(never)]
    fn run_lines(&self, lines: &Lines, x: &[i16], inputs: [i32; 2], mut out: Output) {
        #[cfg(not(mote_armv6m))]
        let quads = self.blocks.layout.is_armv7m();
        #[cfg(mote_armv6m)]
        let (mut run, starts) = (Loop::new(lines), inputs.map(quads::start));
        #[cfg(mote_armv6m)]
        let second = x.get(lines.distance as usize..).unwrap_or(&[]);
        for (index, (weights, table)) in self.blocks.iter(lines.weights()).enumerate() {
            #[cfg(mote_armv6m)]
            let first = *run.doubled(x, weights, starts[0]);
            #[cfg(mote_armv6m)]
            out.put_doubled(
                index * CHANNELS,
                [&first, run.doubled(second, weights, starts[1])],
                table,
            );
            #[cfg(not(mote_armv6m))]
            let sums = if quads {
                lines_of::<[QuadSums; 2]>(x, lines, weights, inputs)
            } else {
                lines_of::<BlockSums>(x, lines, weights, inputs)
            };
            #[cfg(not(mote_armv6m))]
            out.put_doubled(index * CHANNELS, sums.each_ref(), table);
        }
    }

    #[cfg(not(mote_armv6m))]
    #[inline(never)]
    fn run_planes(&self, lines: &Lines, plane: usize, first: usize, x: &[i16], mut out: Output) {
        // Counts of 16 bits.
        let half = lines.count as usize * lines.words as usize;
        for (index, (weights, table)) in self.blocks.iter(2 * half).enumerate() {
            let at = (first + 2 * index) * plane;
            let x = x.get(at..).unwrap_or(&[]);
            let sums = planes_of(x, lines, plane, weights);
            out.put_doubled(index * CHANNELS, sums.each_ref(), table);
        }
    }

    #[cfg(not(mote_armv6m))]
    #[inline(never)]
    fn run_pairs(&self, words: usize, x: &[i16], mut out: Output) {
        for (index, (weights, table)) in self.blocks.iter(words).enumerate() {
            let mut sums = BlockSums::default();
            let (words, _) = x.as_chunks::<2>();
            let steps = words.as_chunks::<2>().0.iter();
            for (x, weights) in steps.zip(weights.as_chunks::<2>().0) {
                sums.step(weights, *x);
            }
            out.put_doubled(index * CHANNELS, sums.doubled([0; 2]).each_ref(), table);
        }
    }
}

/// Twice the sums of a block at two pixels whose inputs lie in lines.
#[cfg(not(mote_armv6m))]
#[inline(always)]
fn lines_of<S: Pair>(
    x: &[i16],
    lines: &Lines,
    weights: &[i32],
    inputs: [i32; 2],
) -> [[i32; CHANNELS]; 2] {
    let mut sums = S::default();
    // Counts of 16 bits, or of what lies in memory.
    let (pitch, words) = (lines.pitch as usize, lines.words as usize);
    let distance = lines.distance as usize;
    let mut weights = weights.as_chunks::<2>().0.iter();
    for line in 0..lines.count as usize {
        let first = x.get(line * pitch..).unwrap_or(&[]).as_chunks::<2>().0;
        let second = x.get(line * pitch + distance..).unwrap_or(&[]);
        let pixels = first.iter().zip(second.as_chunks::<2>().0).take(words);
        for ((first, second), weights) in pixels.zip(&mut weights) {
            sums.step(weights, [*first, *second]);
        }
    }
    sums.doubled(inputs)
}

/// Twice the sums of a block of a depthwise convolution at two pixels.
#[cfg(not(mote_armv6m))]
#[inline(always)]
fn planes_of(x: &[i16], lines: &Lines, plane: usize, weights: &[i32]) -> [[i32; CHANNELS]; 2] {
    // Counts of 16 bits, or of what lies in memory.
    let (pitch, words) = (lines.pitch as usize, lines.words as usize);
    let (rows, distance) = (lines.count as usize, lines.distance as usize);
    let mut sums = [[0i32; CHANNELS]; 2];
    for (half, weights) in weights.chunks_exact((rows * words).max(1)).enumerate() {
        for (row, weights) in weights.chunks_exact(words.max(1)).enumerate() {
            let at = half * plane + row * pitch;
            for (sums, at) in sums.iter_mut().zip([at, at + distance]) {
                let [a, b, c, d] = sums;
                let (first, second) = if half == 0 { (a, c) } else { (b, d) };
                let x = x.get(at..).unwrap_or(&[]).as_chunks::<2>().0;
                for ([x0, x1], weight) in x.iter().zip(weights) {
                    let [low, high] = parts(*weight);
                    let product = |a: i16, b: i16| i32::from(a).wrapping_mul(i32::from(b));
                    *first = first.wrapping_add(product(*x0, low));
                    *second = second.wrapping_add(product(*x1, high));
                }
            }
        }
    }
    sums.map(|sums| sums.map(|sum| sum.wrapping_mul(2)))
}

impl<'w> Blocks<'w> {
    fn iter(&self, words: usize) -> impl Iterator<Item = (&'w [i32], &'w [[i32; LEN]; CHANNELS])> {
        // `chunks_exact` divides, which takes long on Cortex-M0.
        let mut weights = self.weights;
        self.table.iter().map_while(move |table| {
            let (block, rest) = weights.split_at_checked(words)?;
            weights = rest;
            Some((block, table))
        })
    }
}

impl Output<'_> {
    /// Stores the outputs of a block's doubled sums at two pixels from `at`.
    #[inline(always)]
    fn put_doubled(
        &mut self,
        at: usize,
        [first, second]: [&[i32; CHANNELS]; 2],
        table: &[[i32; LEN]; CHANNELS],
    ) {
        if self.pool == Pool::Both {
            self.store(self.second + at, outputs(second, table));
            self.store(at, outputs(first, table));
            return;
        }
        let mut larger = *first;
        for (larger, second) in larger.iter_mut().zip(second) {
            *larger = (*larger).max(*second);
        }
        let mut largest = outputs(&larger, table);
        if self.pool == Pool::Largest {
            let there = self.y.get(at..).unwrap_or(&[]);
            for (largest, there) in largest.iter_mut().zip(there) {
                *largest = (*largest).max(*there);
            }
        }
        self.store(at, largest);
    }

    #[inline(always)]
    fn store(&mut self, at: usize, outputs: [i8; CHANNELS]) {
        let place = self.y.get_mut(at..).and_then(|y| y.first_chunk_mut());
        if let Some(place) = place {
            *place = outputs;
        }
    }
}

/// Twice the sums of S₀, 256·S₁ + S₀, S₂, 256·S₃ + S₂.
#[cfg(not(mote_armv6m))]
#[inline(always)]
fn doubled([low, raw, low2, raw2]: [i32; CHANNELS]) -> [i32; CHANNELS] {
    let upper = |raw: i32, low: i32| raw.wrapping_sub(low) >> 7;
    let lower = |low: i32| low.wrapping_mul(2);
    [lower(low), upper(raw, low), lower(low2), upper(raw2, low2)]
}

/// The outputs of a block's doubled sums.
#[cfg(not(mote_armv6m))]
#[inline(always)]
fn outputs(doubled: &[i32; CHANNELS], table: &[[i32; LEN]; CHANNELS]) -> [i8; CHANNELS] {
    let mut outputs = [0; CHANNELS];
    for ((output, sum), table) in outputs.iter_mut().zip(doubled).zip(table) {
        *output = requantize(table[0].wrapping_add(*sum), *table);
    }
    outputs
}

/// All blocks of a dense layer. The inputs are whole steps of two words.
#[inline]
pub(in super::super) fn vector(x: &[i32], blocks: &Blocks, y: &mut [i8]) {
    #[cfg(not(mote_armv6m))]
    let quads = blocks.layout.is_armv7m();
    #[cfg(not(mote_armv6m))]
    let inputs = if quads { quads::sum(x) } else { 0 };
    #[cfg(mote_armv6m)]
    let (mut run, start) = (Loop::new(&Lines::of_vector(x)), quads::start(quads::sum(x)));
    let words = (2 * x.len()).max(1);
    let blocks = blocks.weights.chunks_exact(words).zip(blocks.table);
    for ((weights, table), y) in blocks.zip(y.as_chunks_mut::<CHANNELS>().0) {
        #[cfg(mote_armv6m)]
        let doubled = *run.doubled(bytemuck::cast_slice(x), weights, start);
        #[cfg(not(mote_armv6m))]
        let doubled = if quads {
            let mut sums = QuadSums::default();
            for (x, weights) in x.iter().zip(weights.as_chunks::<2>().0) {
                sums.step(weights, parts(*x));
            }
            sums.doubled(inputs)
        } else {
            let mut sums = PixelSums::default();
            let steps = x.as_chunks::<2>().0.iter();
            for (x, weights) in steps.zip(weights.as_chunks::<4>().0) {
                sums.step(weights, *x);
            }
            doubled(sums.sums())
        };
        *y = outputs(&doubled, table);
    }
}
