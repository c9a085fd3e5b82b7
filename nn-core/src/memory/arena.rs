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

/// Borrows several parts of `memory` at once; `None` where they overlap or end outside. Empty parts are free.
#[inline]
pub(crate) fn disjoint<const N: usize>(
    memory: &mut [u8],
    spans: [Span; N],
) -> Option<[&mut [u8]; N]> {
    memory.get_disjoint_mut(spans.map(|span| span.range())).ok()
}

/// Bytes as f32.
#[inline]
pub(crate) fn floats(bytes: &[u8]) -> Option<&[f32]> {
    bytemuck::try_cast_slice(bytes).ok()
}

/// Bytes as f32.
#[inline]
pub(crate) fn floats_mut(bytes: &mut [u8]) -> Option<&mut [f32]> {
    bytemuck::try_cast_slice_mut(bytes).ok()
}

/// Bytes as int32.
#[inline]
pub(crate) fn integers(bytes: &[u8]) -> Option<&[i32]> {
    bytemuck::try_cast_slice(bytes).ok()
}

/// Bytes as int8.
#[inline]
pub(crate) fn signed(bytes: &[u8]) -> Option<&[i8]> {
    bytemuck::try_cast_slice(bytes).ok()
}

/// Bytes as int8.
#[inline]
pub(crate) fn signed_mut(bytes: &mut [u8]) -> Option<&mut [i8]> {
    bytemuck::try_cast_slice_mut(bytes).ok()
}
