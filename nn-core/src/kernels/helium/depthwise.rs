//! Depthwise convolutions: a lane is an output channel, of which a vector has sixteen.
//!
//! VMULLB and VMULLT give the products of even and of odd channels in 16 bits; VMOVLB and VMOVLT widen them, so that of
//! the four vectors of sums q0 has the channels 0, 4, 8, 12, q1 the second of each four after these, q2 the first and q3
//! the third. Saturating narrowing puts them back in order.

use core::arch::naked_asm;

/// Output channels of a vector.
pub(crate) const LANES: usize = 16;
/// The first channel of each vector of sums.
const ORDER: [usize; 4] = [0, 2, 1, 3];

/// What the functions in assembly read of the channels, in the order of the sums.
#[derive(Clone, Copy)]
#[repr(C)]
struct Table {
    starts: [[i32; 4]; 4],
    multipliers: [[i32; 4]; 4],
    shifts: [[i32; 4]; 4],
}

/// What the functions in assembly read, in their order.
#[derive(Clone, Copy)]
#[repr(C)]
struct Frame {
    /// The first input that there is.
    x: *const i8,
    /// The first weights, those of what is not there among them.
    weight: *const i8,
    pixels: usize,
    y: *mut i8,
    /// From one pixel to the next.
    x_pixel: usize,
    y_pixel: usize,
    finish: unsafe extern "C" fn(),
    table: *mut Table,
    /// A vector of zero points, for what is not there.
    none: *const i8,
    lanes: usize,
    zero: i32,
    /// From one tap to the next.
    x_step: usize,
    weight_step: usize,
    /// From the end of a row of taps to the next one.
    x_row: usize,
    kernel: [usize; 2],
    /// Rows of taps before those that are there, and how many are.
    rows: [usize; 2],
    /// Taps of a row before those that are there, how many are, and those after them.
    columns: [usize; 3],
    /// All bits, where two products fit 16 bits.
    pairs: usize,
    /// Where the lanes' inputs lie, then their weights.
    offsets: *const [[u8; LANES]; 2],
    /// The lowest and the highest output.
    limits: [i32; 2],
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
    pub(crate) outputs: usize,
    /// Output channels of an input channel.
    pub(crate) multiplier: usize,
}

/// Some output channels of a layer, up to [`LANES`].
#[repr(C, align(4))]
pub(crate) struct Channels<'w> {
    table: Table,
    none: [i8; LANES],
    offsets: [[u8; LANES]; 2],
    frame: Frame,
    x_pitch: usize,
    x_pixel: usize,
    multiplier: usize,
    /// From the first channel on.
    weight: &'w [i8],
    len: usize,
    /// Pixels of a vector, and how many numbers its inputs span.
    pixels: usize,
    span: usize,
}

impl<'w> Channels<'w> {
    /// None yet: [`Self::select`] and [`Self::scale`] have to follow.
    #[inline(always)]
    pub(crate) fn of(layer: Layer<'w>) -> Self {
        let [zero, low, high] = layer.limits;
        // The sum of two products fits 16 bits where no weight is −128.
        let pairs = super::lowest(layer.weight) > i32::from(i8::MIN);
        Self {
            table: Table {
                starts: [[0; 4]; 4],
                multipliers: [[0; 4]; 4],
                shifts: [[0; 4]; 4],
            },
            none: [layer.zero; LANES],
            offsets: [[0; LANES]; 2],
            frame: Frame {
                x: core::ptr::null(),
                weight: core::ptr::null(),
                pixels: 0,
                y: core::ptr::null_mut(),
                x_pixel: 0,
                y_pixel: 0,
                finish: keep,
                table: core::ptr::null_mut(),
                none: core::ptr::null(),
                lanes: 0,
                zero,
                x_step: layer.x_step,
                weight_step: layer.outputs,
                x_row: 0,
                kernel: layer.kernel,
                rows: [0; 2],
                columns: [0; 3],
                pairs: if pairs { usize::MAX } else { 0 },
                offsets: core::ptr::null(),
                limits: [low, high],
            },
            x_pitch: layer.x_pitch,
            x_pixel: layer.x_pixel,
            multiplier: layer.multiplier.max(1),
            weight: layer.weight,
            len: 1,
            pixels: 1,
            span: LANES,
        }
    }

    /// Whether lanes are gathered: the inputs of sixteen channels do not lie side by side.
    #[inline(always)]
    fn gathers(&self) -> bool {
        self.multiplier != 1 || self.frame.weight_step < LANES
    }

    /// Chooses channels, all or sixteen, whose weights begin at `weight`.
    #[inline(never)] // Stack.
    pub(crate) fn select(&mut self, weight: &'w [i8]) {
        self.weight = weight;
        self.len = self.frame.weight_step.clamp(1, LANES);
        self.pixels = 1;
        let [_, weights] = &mut self.offsets;
        for (offset, channel) in weights.iter_mut().zip((0..self.len).cycle()) {
            // Below 16.
            *offset = channel as u8;
        }
        self.table.starts = [[0; 4]; 4];
        self.frame.finish = keep;
        self.lack();
        // Σ zero · w.
        self.call(&[], 1, &mut [0; LANES]);
    }

    /// `factors` are the bias, the multiplier and the shift of a channel.
    #[inline(never)] // Stack.
    pub(crate) fn scale(&mut self, factors: impl Fn(usize) -> [i32; 3]) {
        let mut any = false;
        let table = &mut self.table;
        let scales = table.multipliers.iter_mut().zip(&mut table.shifts);
        let vectors = table.starts.iter_mut().zip(scales);
        for (first, (starts, (multipliers, shifts))) in ORDER.into_iter().zip(vectors) {
            let scales = multipliers.iter_mut().zip(shifts);
            for (four, (start, (multiplier, shift))) in starts.iter_mut().zip(scales).enumerate() {
                let bias;
                [bias, *multiplier, *shift] = factors((4 * four + first) % self.len.max(1));
                *start = bias.wrapping_sub(*start);
                any |= *shift >= 0;
            }
        }
        self.frame.finish = if any { finish_any } else { finish_less };
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
        let [inputs, _] = &mut self.offsets;
        for (lane, offset) in inputs.iter_mut().enumerate() {
            // Lanes that are not kept repeat the first; eight bits.
            *offset = if lane < fits * len {
                place(lane) as u8
            } else {
                0
            };
        }
    }

    /// All taps are missing.
    pub(crate) fn lack(&mut self) {
        self.frame.rows = [0; 2];
        self.frame.columns = [0; 3];
    }

    /// The taps that are there: of rows and of columns the number of the first, and how many they are.
    #[inline(never)] // Stack.
    pub(crate) fn take(&mut self, [row, rows]: [usize; 2], [column, columns]: [usize; 2]) {
        let frame = &mut self.frame;
        let [kernel_rows, kernel_columns] = frame.kernel;
        match kernel_columns.checked_sub(column + columns) {
            Some(after) if rows > 0 && columns > 0 && row + rows <= kernel_rows => {
                frame.rows = [row, rows];
                frame.columns = [column, columns, after];
                frame.x_row = self.x_pitch.wrapping_sub(columns * frame.x_step);
            }
            _ => self.lack(),
        }
    }

    /// The channels of `pixels` pixels, whose inputs begin at the first of x that is there.
    #[inline(always)]
    pub(crate) fn run(&mut self, x: &[i8], pixels: usize, y: &mut [i8]) {
        let vectors = pixels / self.pixels.max(1);
        self.call(x, vectors, y);
        if vectors * self.pixels < pixels {
            // The last ones once more.
            let first = pixels.saturating_sub(self.pixels);
            let x = x.get(first * self.x_pixel..).unwrap_or(&[]);
            let y = y.get_mut(first * self.frame.weight_step..);
            self.call(x, 1, y.unwrap_or(&mut []));
        }
    }

    /// `vectors` vectors; none where not all of their numbers are there.
    #[inline(never)] // Stack.
    fn call(&mut self, x: &[i8], vectors: usize, y: &mut [i8]) {
        let gathers = self.gathers();
        let frame = &mut self.frame;
        let last = |count: usize, step: usize| count.saturating_sub(1) * step;
        let [_, rows] = frame.rows;
        let [_, columns, _] = frame.columns;
        let [kernel_rows, kernel_columns] = frame.kernel;
        frame.x_pixel = self.pixels * self.x_pixel;
        frame.y_pixel = self.pixels * frame.weight_step;
        frame.lanes = self.pixels * self.len;
        let taps = last(rows, self.x_pitch) + last(columns, frame.x_step);
        let x_end = last(vectors, frame.x_pixel) + taps + self.span;
        let weight_end = last(kernel_rows * kernel_columns, frame.weight_step) + self.len;
        let fits = (rows == 0 || x_end <= x.len())
            && weight_end <= self.weight.len()
            && last(vectors, frame.y_pixel) + frame.lanes <= y.len();
        if !fits || vectors == 0 || kernel_rows == 0 {
            return;
        }
        frame.x = x.as_ptr();
        frame.weight = self.weight.as_ptr();
        frame.pixels = vectors;
        frame.y = y.as_mut_ptr();
        frame.table = &raw mut self.table;
        frame.none = self.none.as_ptr();
        frame.offsets = &raw const self.offsets;
        let is_three = frame.kernel == [3, 3] && [rows, columns] == [3, 3] && frame.pairs != 0;
        let pixels = match (gathers, is_three) {
            (true, _) => gathered,
            (false, true) => three,
            (false, false) => adjacent,
        };
        // SAFETY: all numbers that the frame tells of are there (checked above), those of lanes that are not kept, too: they
        // lie in the places of others.
        unsafe { pixels(frame) };
    }
}

/// The sums of some pixels: pushes what is kept, and sums what each begins with.
///
/// `$taps` sums r6 taps, and keeps all but r1, r2, r6, r12 and lr, q4 to q6.
macro_rules! pixels {
    ($(#[$doc:meta])* $name:ident, $gathers:literal, $($taps:expr),+) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The frame's pointers are those of what it says, with one pixel at least.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(frame: *mut Frame) {
            naked_asm!(
                cpu!(),
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "ldr r8, [r0]",
                "ldr r10, [r0, #28]",
                "ldr r4, [r0, #48]",
                "1:",
                "ldr r2, [r0, #4]",
                "mov r7, r8",
                "mov r5, #0",
                "vldrw.u32 q0, [r10]",
                "vldrw.u32 q1, [r10, #16]",
                "vldrw.u32 q2, [r10, #32]",
                "vldrw.u32 q3, [r10, #48]",
                "2:",
                // Whether the row of taps is there.
                "ldrd r6, r9, [r0, #64]",
                "sub r6, r5, r6",
                "cmp r6, r9",
                "ldr r6, [r0, #60]",
                "bhs 3f",
                "ldr r6, [r0, #72]",
                "cbz r6, 4f",
                none!($gathers),
                "bl 7f",
                "4:",
                "mov r1, r7",
                "ldr r3, [r0, #44]",
                concat!(
                    ".if ",
                    $gathers,
                    "\n",
                    "ldr r6, [r0, #88]\n",
                    "vldrb.u8 q7, [r6]\n",
                    ".endif\n",
                ),
                "ldr r6, [r0, #76]",
                "bl 7f",
                "ldr r7, [r0, #52]",
                "add r7, r7, r1",
                "ldr r6, [r0, #80]",
                "cbz r6, 5f",
                "3:",
                none!($gathers),
                "bl 7f",
                "5:",
                "add r5, r5, #1",
                "ldr r6, [r0, #56]",
                "cmp r5, r6",
                "bne 2b",
                "ldrd r6, r9, [r0, #20]",
                "ldr r7, [r0, #12]",
                "blx r9",
                "ldrd r9, r7, [r0, #8]",
                "ldrd r5, r6, [r0, #16]",
                "add r8, r8, r5",
                "add r7, r7, r6",
                "subs r9, r9, #1",
                "strd r9, r7, [r0, #8]",
                "bne 1b",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
                "7:",
                "mov r11, lr",
                $($taps,)+
                "bx r11",
            )
        }
    };
}

/// Zero points instead of inputs.
macro_rules! none {
    ($gathers:literal) => {
        concat!(
            "ldr r1, [r0, #32]\n",
            "mov r3, #0\n",
            ".if ",
            $gathers,
            "\n",
            "vmov.i32 q7, #0\n",
            ".endif\n",
        )
    };
}

/// Adds products in q6 and q4 to the sums: 8 instructions for 16.
macro_rules! add {
    () => {
        concat!(
            "vmovlb.s16 q5, q6\n",
            "vadd.i32 q0, q0, q5\n",
            "vmovlt.s16 q6, q6\n",
            "vadd.i32 q1, q1, q6\n",
            "vmovlb.s16 q5, q4\n",
            "vadd.i32 q2, q2, q5\n",
            "vmovlt.s16 q4, q4\n",
            "vadd.i32 q3, q3, q4\n",
        )
    };
}

/// Two taps, whose products fit 16 bits together: x at r1, then at r1 + `$step`; after them r1 goes `$after` further.
macro_rules! pair {
    ($step:literal, $after:literal) => {
        concat!(
            "vldrb.u8 q4, [r1]\n",
            "add r1, r1, ",
            $step,
            "\n",
            "vldrb.u8 q5, [r2]\n",
            "add r2, r2, r4\n",
            "vmullb.s8 q6, q4, q5\n",
            "vmullt.s8 q4, q4, q5\n",
            "vldrb.u8 q5, [r1]\n",
            "vldrb.u8 q7, [r2]\n",
            "add r2, r2, r4\n",
            "vmullt.s8 q5, q5, q7\n",
            "vadd.i16 q4, q4, q5\n",
            "vldrb.u8 q5, [r1]\n",
            "add r1, r1, ",
            $after,
            "\n",
            "vmullb.s8 q5, q5, q7\n",
            "vadd.i16 q6, q6, q5\n",
            add!(),
        )
    };
}

/// A tap.
macro_rules! single {
    () => {
        concat!(
            "vldrb.u8 q4, [r1]\n",
            "add r1, r1, r3\n",
            "vldrb.u8 q5, [r2]\n",
            "add r2, r2, r4\n",
            "vmullb.s8 q6, q4, q5\n",
            "vmullt.s8 q4, q4, q5\n",
            add!(),
        )
    };
}

pixels!(
    /// Sixteen channels whose inputs lie side by side: 23 instructions for two taps, 32 MACs, 15 for one that is left
    /// over; about 24 for a row of taps, 20 and those of `finish` for a pixel.
    ///
    /// r0 frame, r1 inputs of taps, r2 weights, r3 from tap to tap, r4 from weights to weights, r5 row of taps, r6 taps,
    /// r7 inputs of the next row (then outputs), r8 those of the pixel, r10 table, r11 return, r9, r12 scratch, lr taps left;
    /// q0–q3 sums, q4–q7 scratch.
    adjacent,
    "0",
    "ldr r12, [r0, #84]",
    "and r12, r12, r6, lsr #1",
    "sub r6, r6, r12, lsl #1",
    "wls lr, r12, 9f",
    "8:",
    pair!("r3", "r3"),
    "le lr, 8b",
    "9:",
    "wls lr, r6, 9f",
    "8:",
    single!(),
    "le lr, 8b",
    "9:"
);

pixels!(
    /// Lanes whose inputs lie anywhere: 17 instructions for a tap.
    ///
    /// As [`adjacent`], with q7 the lanes' places in the inputs; those in the weights are read each time.
    gathered,
    "1",
    "ldr r12, [r0, #88]",
    "wls lr, r6, 9f",
    "8:",
    "vldrb.u8 q4, [r1, q7]",
    "add r1, r1, r3",
    "vldrw.u32 q6, [r12, #16]",
    "vldrb.u8 q5, [r2, q6]",
    "add r2, r2, r4",
    "vmullb.s8 q6, q4, q5",
    "vmullt.s8 q4, q4, q5",
    add!(),
    "le lr, 8b",
    "9:"
);

/// Three rows of three taps that are all there: 106 instructions for 144 MACs; 12 and those of `finish` for a pixel.
///
/// r0 frame, r1 inputs of taps, r2 weights, r3 from tap to tap, r4 from weights to weights, r5 from pixel to pixel, r7
/// outputs, r8 inputs of the pixel, r9 `finish`, r10 table, r11 pixels left, r12 from the last tap of a row to the next
/// row, r6 scratch; q0–q3 sums, q4–q7 scratch.
///
/// # Safety
/// The frame's pointers are those of what it says, with one pixel at least.
#[unsafe(naked)]
unsafe extern "C" fn three(frame: *mut Frame) {
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "ldrd r3, r4, [r0, #44]",
        "ldr r12, [r0, #52]",
        "add r12, r12, r3",
        "ldrd r11, r7, [r0, #8]",
        "ldr r5, [r0, #16]",
        "ldrd r9, r10, [r0, #24]",
        "ldr r8, [r0]",
        "1:",
        "mov r1, r8",
        "ldr r2, [r0, #4]",
        "vldrw.u32 q0, [r10]",
        "vldrw.u32 q1, [r10, #16]",
        "vldrw.u32 q2, [r10, #32]",
        "vldrw.u32 q3, [r10, #48]",
        pair!("r3", "r3"),
        pair!("r12", "r3"),
        pair!("r3", "r12"),
        pair!("r3", "r3"),
        single!(),
        "blx r9",
        "ldr r6, [r0, #20]",
        "add r8, r8, r5",
        "add r7, r7, r6",
        "subs r11, r11, #1",
        "bne 1b",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}

/// From the sums to outputs at r7: 44 instructions for sixteen, 64 where a shift may not be below 0. (`finish.rs` says why
/// that is the reference's.)
///
/// r0 frame, r10 table, r1, r6 scratch; q0–q3 sums, q4–q6 scratch.
macro_rules! finish {
    ($name:ident, $any:literal) => {
        /// # Safety
        /// Called by the functions above.
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            macro_rules! four {
                ($sums:literal, $at:literal) => {
                    concat!(
                        "vldrw.u32 q5, [r10, #128 + ",
                        $at,
                        "]\n",
                        "vldrw.u32 q4, [r10, #64 + ",
                        $at,
                        "]\n",
                        ".if ",
                        $any,
                        "\n",
                        "vmov.i32 q6, #0\n",
                        "vmax.s32 q6, q6, q5\n",
                        "vshl.s32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", q6\n",
                        "vsub.i32 q5, q5, q6\n",
                        ".endif\n",
                        "vqrdmulh.s32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", q4\n",
                        ".if ",
                        $any,
                        "\n",
                        "vand q4, ",
                        $sums,
                        ", q5\n",
                        "vshr.s32 q4, q4, #31\n",
                        ".else\n",
                        "vshr.s32 q4, ",
                        $sums,
                        ", #31\n",
                        ".endif\n",
                        "vqadd.s32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", q4\n",
                        "vrshl.s32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", q5\n",
                        "vadd.i32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", r6\n",
                    )
                };
            }
            naked_asm!(
                cpu!(),
                "ldr r6, [r0, #40]",
                four!("q0", "0"),
                four!("q1", "16"),
                four!("q2", "32"),
                four!("q3", "48"),
                "ldrd r6, r1, [r0, #92]",
                "vdup.8 q4, r6",
                "vdup.8 q5, r1",
                "vqmovnb.s32 q0, q0",
                "vqmovnt.s32 q0, q1",
                "vqmovnb.s32 q2, q2",
                "vqmovnt.s32 q2, q3",
                "vqmovnb.s16 q0, q0",
                "vqmovnt.s16 q0, q2",
                "ldr r6, [r0, #36]",
                "vmax.s8 q0, q0, q4",
                "vmin.s8 q0, q0, q5",
                "vctp.8 r6",
                "vpst",
                "vstrbt.8 q0, [r7]",
                "bx lr",
            )
        }
    };
}
finish!(finish_any, "1");
finish!(finish_less, "0");

/// The sums as they are, to the start of the table at r10.
///
/// # Safety
/// Called by the functions above.
#[unsafe(naked)]
unsafe extern "C" fn keep() {
    naked_asm!(
        cpu!(),
        "vstrw.32 q0, [r10]",
        "vstrw.32 q1, [r10, #16]",
        "vstrw.32 q2, [r10, #32]",
        "vstrw.32 q3, [r10, #48]",
        "bx lr",
    )
}
