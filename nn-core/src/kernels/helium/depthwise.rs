//! Depthwise convolutions: a lane is an output channel, of which a vector has sixteen.
//!
//! VMULLB and VMULLT give the products of even and of odd channels in 16 bits; VMOVLB and VMOVLT widen them, so that q0
//! has the sums of the channels 0, 4, 8 and 12, q1 those from 2 on, q2 those from 1 on, q3 those from 3 on. Narrowing them
//! puts them back in order.

mod loops;

use loops::{adjacent, finish_any, finish_less, finish_whole, gathered, keep, three};

/// Output channels of a vector.
pub(crate) const LANES: usize = 16;
/// The first channel of each vector of sums.
const ORDER: [usize; 4] = [0, 2, 1, 3];

/// What the functions in assembly read of the channels, in the order of the sums.
#[derive(Clone, Copy)]
#[repr(C)]
struct Table {
    shifts: [[i8; 4]; 4],
    starts: [[i32; 4]; 4],
    multipliers: [[i32; 4]; 4],
    /// Starts with what is missing.
    begun: [[i32; 4]; 4],
    /// Where the lanes' inputs lie, then their weights.
    offsets: [[u8; LANES]; 2],
}

/// What the functions in assembly read, in their order.
#[derive(Clone, Copy)]
#[repr(C)]
struct Frame {
    /// The first input that there is, and the first output.
    x: *const i8,
    y: *mut i8,
    finish: unsafe extern "C" fn(),
    /// Of a line, what is left of them, and lines.
    pixels: usize,
    left: usize,
    lines: usize,
    /// From one pixel to the next.
    x_pixel: usize,
    y_pixel: usize,
    /// From the end of a line to the next one.
    x_line: usize,
    y_line: usize,
    lanes: usize,
    zero: i32,
    /// The lowest and the highest output.
    limits: [i32; 2],
    /// The first of all weights, and of those that meet an input.
    weights: [*const i8; 2],
    /// From one tap to the next.
    x_step: usize,
    weight_step: usize,
    /// Rows of taps that are there.
    rows: usize,
    /// From the end of a row of taps to the next one.
    x_row: usize,
    weight_row: usize,
    /// Taps of such a row: in pairs, and those left over.
    pairs: usize,
    singles: usize,
    /// Taps that are not there: before the first row that is, from one of these to the next, after the last.
    missing: [usize; 3],
    /// From the first weight of a row that is there to its end.
    skip: usize,
    /// The inputs' zero point.
    x_zero: i32,
    table: Table,
}

/// A layer's numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer<'w> {
    pub(crate) weight: &'w [i8],
    /// The inputs' zero point.
    pub(crate) zero: i8,
    /// The outputs' zero point, the lowest and the highest.
    pub(crate) limits: [i32; 3],
    /// Rows and columns of taps.
    pub(crate) kernel: [usize; 2],
    /// Numbers from a tap to the next one of its row …
    pub(crate) x_step: usize,
    /// … from a row of taps to the next, and from a pixel to the next.
    pub(crate) x_pitch: usize,
    pub(crate) x_pixel: usize,
    /// From line to line, of inputs and of outputs.
    pub(crate) lines: [usize; 2],
    pub(crate) outputs: usize,
    /// Output channels of an input channel.
    pub(crate) multiplier: usize,
}

/// Some output channels of a layer, up to [`LANES`], and a block of pixels.
pub(crate) struct Channels<'w> {
    frame: Frame,
    kernel: [usize; 2],
    x_pitch: usize,
    x_pixel: usize,
    multiplier: usize,
    /// From the first channel on.
    weight: &'w [i8],
    /// The sum of two products fits 16 bits.
    has_pairs: bool,
    len: usize,
    /// Pixels of a vector, and how many numbers its inputs span.
    pixels: usize,
    span: usize,
    /// From line to line.
    lines: [usize; 2],
}

impl<'w> Channels<'w> {
    /// None yet: [`Self::select`] and [`Self::scale`] have to follow.
    #[inline(always)]
    pub(crate) fn of(layer: Layer<'w>) -> Self {
        let [zero, low, high] = layer.limits;
        Self {
            frame: Frame {
                x: core::ptr::null(),
                y: core::ptr::null_mut(),
                finish: keep,
                pixels: 0,
                left: 0,
                lines: 0,
                x_pixel: 0,
                y_pixel: 0,
                x_line: 0,
                y_line: 0,
                lanes: 0,
                zero,
                limits: [low, high],
                weights: [core::ptr::null(); 2],
                x_step: layer.x_step,
                weight_step: layer.outputs,
                rows: 0,
                x_row: 0,
                weight_row: 0,
                pairs: 0,
                singles: 0,
                missing: [0; 3],
                skip: 0,
                x_zero: layer.zero.into(),
                table: Table {
                    shifts: [[0; 4]; 4],
                    starts: [[0; 4]; 4],
                    multipliers: [[0; 4]; 4],
                    begun: [[0; 4]; 4],
                    offsets: [[0; LANES]; 2],
                },
            },
            kernel: layer.kernel,
            x_pitch: layer.x_pitch,
            x_pixel: layer.x_pixel,
            multiplier: layer.multiplier.max(1),
            weight: layer.weight,
            has_pairs: super::lowest(layer.weight) > i32::from(i8::MIN),
            len: 1,
            pixels: 1,
            span: LANES,
            lines: layer.lines,
        }
    }

    /// Whether lanes are gathered: the inputs of sixteen channels do not lie side by side.
    #[inline(always)]
    fn gathers(&self) -> bool {
        self.multiplier != 1 || self.frame.weight_step < LANES
    }

    /// Chooses channels, all or sixteen, whose weights begin at `weight`.
    #[inline(always)]
    pub(crate) fn select(&mut self, weight: &'w [i8]) {
        self.prepare(weight);
        // Σ zero · w.
        self.call(&[], [1, 1], &mut [0; LANES]);
    }

    #[inline(never)] // Stack.
    fn prepare(&mut self, weight: &'w [i8]) {
        self.weight = weight;
        self.len = self.frame.weight_step.clamp(1, LANES);
        self.pixels = 1;
        let table = &mut self.frame.table;
        let [_, weights] = &mut table.offsets;
        for (offset, channel) in weights.iter_mut().zip((0..self.len).cycle()) {
            // Below 16.
            *offset = channel as u8;
        }
        table.starts = [[0; 4]; 4];
        self.frame.finish = keep;
        self.take([0; 2], [0; 2]);
    }

    /// `factors` are the bias, the multiplier and the shift of a channel.
    #[inline(never)] // Stack.
    pub(crate) fn scale(&mut self, factors: impl Fn(usize) -> [i32; 3]) {
        let mut any = false;
        let table = &mut self.frame.table;
        let starts = table.starts.as_flattened_mut().iter_mut();
        let multipliers = table.multipliers.as_flattened_mut();
        let scales = multipliers.iter_mut().zip(table.shifts.as_flattened_mut());
        for (place, (start, (multiplier, shift))) in starts.zip(scales).enumerate() {
            let (vector, four) = (place / 4, place % 4);
            let lane = 4 * four + ORDER.get(vector).copied().unwrap_or(0);
            let [bias, factor, bits] = factors(lane % self.len.max(1));
            *start = bias.wrapping_sub(*start);
            *multiplier = factor;
            // −31 to 30.
            *shift = bits as i8;
            any |= bits >= 0;
        }
        let is_whole = self.len == LANES && self.frame.limits == [-128, 127];
        self.frame.finish = match (any, is_whole) {
            (true, _) => finish_any,
            (false, false) => finish_less,
            (false, true) => finish_whole,
        };
    }

    /// A vector is to be of as many of `pixels` pixels as fit; `first` is the channels' first one.
    #[inline(never)] // Stack.
    pub(crate) fn spread(&mut self, first: usize, pixels: usize) {
        if !self.gathers() {
            return;
        }
        let (len, multiplier) = (self.len.max(1), self.multiplier.max(1));
        let (phase, x_pixel) = (first % multiplier, self.x_pixel);
        let place = |lane: usize| lane / len * x_pixel + (phase + lane % len) / multiplier;
        let mut fits = (LANES / len).clamp(1, pixels.max(1));
        // Places are bytes.
        if place(fits * len - 1) > usize::from(u8::MAX) {
            fits = 1;
        }
        self.pixels = fits;
        self.span = place(fits * len - 1) + 1;
        let [inputs, _] = &mut self.frame.table.offsets;
        for (lane, offset) in inputs.iter_mut().enumerate() {
            // Lanes that are not kept repeat the first; eight bits.
            *offset = if lane < fits * len {
                place(lane) as u8
            } else {
                0
            };
        }
    }

    /// The taps that are there: of rows and of columns the number of the first, and how many they are.
    #[inline(never)] // Stack.
    pub(crate) fn take(&mut self, [row, rows]: [usize; 2], [column, columns]: [usize; 2]) {
        let frame = &mut self.frame;
        let [kernel_rows, kernel_columns] = self.kernel;
        let after = kernel_columns.checked_sub(column + columns);
        let below = kernel_rows.checked_sub(row + rows);
        let step = frame.weight_step;
        match (after, below) {
            (Some(after), Some(below)) if rows > 0 && columns > 0 => {
                let [first, last] = [
                    row * kernel_columns + column,
                    after + below * kernel_columns,
                ];
                frame.rows = rows;
                frame.x_row = self.x_pitch.wrapping_sub(columns * frame.x_step);
                frame.weight_row = (kernel_columns - columns) * step;
                let weights = self.weight.as_ptr();
                frame.weights = [weights, weights.wrapping_add(first * step)];
                frame.pairs = if self.has_pairs { columns / 2 } else { 0 };
                frame.singles = columns - 2 * frame.pairs;
                frame.missing = [first, kernel_columns - columns, last];
                frame.skip = columns * step;
            }
            _ => {
                // A row of none.
                frame.rows = 1;
                [frame.x_row, frame.weight_row, frame.skip] = [0; 3];
                frame.weights = [self.weight.as_ptr(); 2];
                [frame.pairs, frame.singles] = [0; 2];
                frame.missing = [kernel_rows * kernel_columns, 0, 0];
            }
        }
    }

    /// The channels of so many pixels of so many lines, whose inputs begin at the first of x that is there.
    #[inline(always)]
    pub(crate) fn run(&mut self, x: &[i8], [pixels, lines]: [usize; 2], y: &mut [i8]) {
        self.call(x, [pixels / self.pixels.max(1), lines], y);
        if !pixels.is_multiple_of(self.pixels) {
            // The last ones once more.
            let first = pixels.saturating_sub(self.pixels);
            let x = x.get(first * self.x_pixel..).unwrap_or(&[]);
            let y = y.get_mut(first * self.frame.weight_step..);
            self.call(x, [1, lines], y.unwrap_or(&mut []));
        }
    }

    /// So many vectors of so many lines; none where not all of their numbers are there.
    #[inline(never)] // Stack.
    fn call(&mut self, x: &[i8], [vectors, lines]: [usize; 2], y: &mut [i8]) {
        [self.frame.pixels, self.frame.lines] = [vectors, lines];
        self.frame.x = x.as_ptr();
        self.frame.y = y.as_mut_ptr();
        if !self.place([x.len(), y.len()]) {
            return;
        }
        let frame = &mut self.frame;
        let is_three =
            self.kernel == [3, 3] && [frame.rows, frame.pairs, frame.singles] == [3, 1, 1];
        let pixels = match (self.gathers(), is_three) {
            (true, _) => gathered,
            (false, true) => three,
            (false, false) => adjacent,
        };
        // SAFETY: all numbers that the frame tells of are there (checked above), those of lanes that are not kept, too: they
        // lie in the places of others.
        unsafe { pixels(&raw mut self.frame) };
    }

    /// Steps from pixel to pixel and from line to line; whether there is a pixel, and all numbers are there, of so many
    /// inputs and outputs.
    #[inline(never)] // Stack.
    fn place(&mut self, [x_len, y_len]: [usize; 2]) -> bool {
        let frame = &mut self.frame;
        let last = |count: usize, step: usize| count.saturating_sub(1) * step;
        let [rows, columns] = self.kernel;
        let [x_line, y_line] = self.lines;
        frame.x_pixel = self.pixels * self.x_pixel;
        frame.y_pixel = self.pixels * frame.weight_step;
        frame.x_line = x_line.wrapping_sub(frame.pixels * frame.x_pixel);
        frame.y_line = y_line.wrapping_sub(frame.pixels * frame.y_pixel);
        frame.lanes = self.pixels * self.len;
        let taps = 2 * frame.pairs + frame.singles;
        let x_end = last(frame.lines, x_line)
            + last(frame.pixels, frame.x_pixel)
            + last(frame.rows, self.x_pitch)
            + last(taps, frame.x_step)
            + self.span;
        let y_end = last(frame.lines, y_line) + last(frame.pixels, frame.y_pixel) + frame.lanes;
        let weight_end = last(rows * columns, frame.weight_step) + self.len;
        let is_none = frame.pixels == 0 || frame.lines == 0 || rows * columns == 0;
        !is_none
            && (taps == 0 || x_end <= x_len)
            && y_end <= y_len
            && weight_end <= self.weight.len()
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Frame, weights) == 56);
    assert!(offset_of!(Frame, missing) == 92);
    assert!(offset_of!(Frame, table) == 112);
    assert!(offset_of!(Table, offsets) == 208);
};
