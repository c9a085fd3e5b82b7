//! What the loops in assembly of Cortex-M3, M4 and M7 are given.
#![allow(unsafe_code)]

use core::marker::PhantomData;

use super::{Blocks, CHANNELS, Lines, Output};

/// What a convolution's loop keeps on its stack: the words in the order in which assembly reads them.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Frame {
    /// 0: bytes from where a line was left to the next line.
    pub(super) skip: isize,
    /// 4: the end of the block's weights.
    pub(super) block_end: *const i32,
    /// 8: the end of the line; `alternating`, `single`: of what is whole fours of steps.
    pub(super) line_end: *const i16,
    /// 12: bytes from line to line; `alternating`, `single`: the end of the inputs.
    pub(super) pitch: usize,
    /// 16: inputs.
    pub(super) x: *const i16,
    /// 20: the table, from the block's channels on.
    pub(super) table: *const i32,
    /// 24: outputs of the block, first pixel; 28: bytes to the second's.
    pub(super) y: *mut i8,
    pub(super) second: usize,
    /// 32: blocks to go.
    pub(super) blocks: usize,
    /// 36: bytes of a block's weights.
    pub(super) block: usize,
    /// 40: 0 where both pixels are stored, 1 the larger, 2 the larger where it is above what is there.
    pub(super) pool: usize,
    /// 44: weights.
    pub(super) weights: *const i32,
    /// 48: bytes from pixel to pixel.
    pub(super) distance: usize,
    /// 52: `each`, which layout 2 does without: bytes from plane to plane.
    pub(super) plane: usize,
    /// 56: what sums begin with, at each pixel.
    #[cfg(mote_armv7m)]
    pub(super) start: [i32; 2],
}

/// A loop over blocks at two pixels, with all that is the same at each pair of pixels.
#[derive(Debug)]
pub(in super::super) struct Kernel<'w> {
    pub(super) frame: Frame,
    pub(super) run: unsafe extern "C" fn(&Frame),
    /// Halves before the first input.
    pub(super) from: usize,
    /// Halves to the end of the last input.
    pub(super) reach: usize,
    /// Outputs of a pixel.
    pub(super) outputs: usize,
    /// Halves of the inputs that are whole fours of steps, and of all, where words alternate.
    pub(super) steps: Option<[usize; 2]>,
    pub(super) blocks: PhantomData<Blocks<'w>>,
}

impl<'w> Kernel<'w> {
    /// `block` words of weights a block, of which `part` are read at a time; `None` where there are not so many.
    pub(super) fn new(
        run: unsafe extern "C" fn(&Frame),
        lines: &Lines,
        blocks: &Blocks<'w>,
        [block, part]: [usize; 2],
    ) -> Option<Self> {
        let count = blocks.table.len();
        if count == 0 || block == 0 || blocks.weights.len() < block * count {
            return None;
        }
        let (pitch, words) = (2 * lines.pitch as usize, lines.words as usize);
        let weights = blocks.weights.as_ptr();
        let frame = Frame {
            skip: pitch.wrapping_sub(4 * words).cast_signed(),
            block_end: weights.wrapping_add(part),
            line_end: core::ptr::null(),
            pitch,
            x: core::ptr::null(),
            table: blocks.table.as_ptr().cast(),
            y: core::ptr::null_mut(),
            second: 0,
            blocks: count,
            block: 4 * part,
            pool: 0,
            weights,
            distance: 2 * lines.distance as usize,
            plane: 0,
            #[cfg(mote_armv7m)]
            start: [0; 2],
        };
        Some(Self {
            frame,
            run,
            from: 0,
            reach: lines.reach(),
            outputs: CHANNELS * count,
            steps: None,
            blocks: PhantomData,
        })
    }

    /// Runs it at two pixels, the sums of whose inputs are known where the layout wants them.
    #[inline(always)]
    #[cfg_attr(mote_armv7em, expect(unused_variables, reason = "of the other layout"))]
    pub(in super::super) fn run(&mut self, x: &[i16], inputs: [i32; 2], out: Output) {
        if x.len() < self.reach || out.y.len() < out.second + self.outputs {
            return;
        }
        #[cfg(mote_armv7m)]
        {
            self.frame.start = inputs.map(super::quads::start);
        }
        let x = x.as_ptr();
        self.frame.x = x.wrapping_add(self.from);
        if let Some([whole, all]) = self.steps {
            self.frame.line_end = x.wrapping_add(whole);
            self.frame.pitch = x.wrapping_add(all).addr();
        }
        self.frame.y = out.y.as_mut_ptr();
        self.frame.second = out.second;
        self.frame.pool = out.pool as usize;
        // SAFETY: inputs are read up to `reach`, outputs written up to the second pixel's last (both checked above);
        // the weights and the table, which `blocks` borrows, are as long as the blocks want (checked by `new`).
        unsafe { (self.run)(&self.frame) };
    }
}
