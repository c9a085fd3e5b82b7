//! Aligned memory, and views of it as numbers.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;

use crate::memory::Span;

/// Alignment of an arena and of a blob, in bytes.
pub(crate) const ALIGN: usize = 16;

/// `N` bytes of working memory on a 16-byte boundary.
///
/// On a device it is a `static`, with `N` the exact size from the blob's header.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Arena<const N: usize>([u8; N]);

impl<const N: usize> Arena<N> {
    /// An arena of zeros.
    pub const fn new() -> Self {
        Self([0; N])
    }

    /// The memory.
    pub const fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl<const N: usize> Default for Arena<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes on a 16-byte boundary: a blob in flash. See [`include_model!`](crate::include_model).
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);

/// Embeds a file as aligned bytes: `include_model!("mnist.mote")` is a `&'static [u8]`.
///
/// The path is relative to the file that calls, as for `include_bytes!`.
#[macro_export]
macro_rules! include_model {
    ($path:expr) => {{
        static MODEL: &$crate::memory::Aligned<[u8]> =
            &$crate::memory::Aligned(*include_bytes!($path));
        &MODEL.0
    }};
}

/// `size` rounded up to a multiple of `align`.
pub(crate) const fn round_up(size: usize, align: usize) -> usize {
    size.div_ceil(align).saturating_mul(align)
}

/// Cuts `len` values off the front of `bytes`, which begin on a boundary of 16, and fills them with `first`.
/// The rest begins on such a boundary too. `None` where there are too few bytes.
pub(crate) fn carve<T: Copy>(
    bytes: &mut [u8],
    len: usize,
    first: T,
) -> Option<(&mut [T], &mut [u8])> {
    let size = round_up(core::mem::size_of::<T>().checked_mul(len)?, ALIGN);
    let (front, rest) = bytes.split_at_mut_checked(size)?;
    // SAFETY: every bit pattern, initialized or not, is a valid `MaybeUninit<T>`, and nobody reads these bytes as
    // bytes again while the typed slice lives: it holds their exclusive borrow.
    let (before, slots, _) = unsafe { front.align_to_mut::<MaybeUninit<T>>() };
    if !before.is_empty() {
        return None;
    }
    let slots = slots.get_mut(..len)?;
    for slot in slots.iter_mut() {
        slot.write(first);
    }
    // SAFETY: each of the `len` slots was written just above; `MaybeUninit<T>` has the layout of `T`.
    let values = unsafe { &mut *(core::ptr::from_mut(slots) as *mut [T]) };
    Some((values, rest))
}

/// What was borrowed to be read, and to be written.
type Borrowed<'m, const R: usize, const W: usize> = ([&'m [u8]; R], [&'m mut [u8]; W]);

/// What a step reads and writes: the weights section in flash, and the arena's memory.
#[derive(Debug)]
pub(crate) struct Memory<'r> {
    pub(crate) flash: &'r [u8],
    pub(crate) ram: &'r mut [u8],
}

impl Memory<'_> {
    /// Borrows the parts of a step at once: `reads` in flash or RAM, which may be the same, and `writes` in RAM, each
    /// apart from all others. `None` where that does not hold, or where one ends outside.
    #[inline(always)]
    pub(crate) fn borrow<const R: usize, const W: usize>(
        &mut self,
        reads: [Span; R],
        writes: [Span; W],
    ) -> Option<Borrowed<'_, R, W>> {
        if !self.holds(&reads, &writes) {
            return None;
        }
        let (flash, ram) = (self.flash, self.ram.as_mut_ptr());
        let reads = reads.map(|read| {
            let from = if read.is_flash() {
                flash.as_ptr()
            } else {
                ram.cast_const()
            };
            // SAFETY: the span lies inside of what `from` begins (checked above), `flash` or `ram`, whose exclusive
            // borrow the result holds, and no written part overlaps it (checked above), so these bytes are only read
            // while it lives.
            unsafe { core::slice::from_raw_parts(from.add(read.start()), read.len as usize) }
        });
        let writes = writes.map(|write| {
            // SAFETY: the span lies inside of `ram`, whose exclusive borrow the result holds, and overlaps no other
            // part, read or written (both checked above).
            unsafe { core::slice::from_raw_parts_mut(ram.add(write.start()), write.len as usize) }
        });
        Some((reads, writes))
    }

    /// Whether `reads` lie inside of their memories, and `writes` in RAM, each apart from all others.
    ///
    /// Apart from `borrow`, which is inlined everywhere: this code is there once, and its stack is free again when the
    /// operator runs.
    #[inline(never)]
    fn holds(&self, reads: &[Span], writes: &[Span]) -> bool {
        for read in reads {
            let len = if read.is_flash() {
                self.flash.len()
            } else {
                self.ram.len()
            };
            if !read.is_within(len) {
                return false;
            }
        }
        let mut later = writes;
        while let Some((write, rest)) = later.split_first() {
            later = rest;
            if write.is_empty() {
                continue;
            }
            if write.is_flash() || !write.is_within(self.ram.len()) {
                return false;
            }
            for others in [rest, reads] {
                if others.iter().any(|other| write.overlaps(*other)) {
                    return false;
                }
            }
        }
        true
    }

    /// Copies bytes of RAM from one span to another of the same length.
    #[inline(never)]
    pub(crate) fn copy(&mut self, from: Span, to: Span) -> Option<()> {
        if from == to || to.is_empty() {
            return Some(());
        }
        let ([from], [to]) = self.borrow([from], [to])?;
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
        Some(())
    }

    /// Sets bytes of RAM to 0.
    pub(crate) fn clear(&mut self, span: Span) {
        if !span.is_flash() {
            self.ram.get_mut(span.range()).unwrap_or(&mut []).fill(0);
        }
    }
}

/// Bytes as numbers.
#[inline]
pub(crate) fn numbers<T: bytemuck::Pod>(bytes: &[u8]) -> Option<&[T]> {
    bytemuck::try_cast_slice(bytes).ok()
}

/// Bytes as numbers.
#[inline]
pub(crate) fn numbers_mut<T: bytemuck::Pod>(bytes: &mut [u8]) -> Option<&mut [T]> {
    bytemuck::try_cast_slice_mut(bytes).ok()
}
