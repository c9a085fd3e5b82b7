//! One flash for several that keep something in it.

use core::{
    cell::RefCell,
    future::Future,
    ops::Range,
    pin::pin,
    task::{Context, Poll, Waker},
};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// A flash that the core reads as memory.
pub trait Mapped: NorFlash {
    /// Its bytes, on a 16-byte boundary where `range` begins on one; none where it has not so many.
    ///
    /// # Safety
    ///
    /// As long as they are borrowed the flash is there, and they are neither erased nor written.
    unsafe fn bytes<'m>(&self, range: Range<u32>) -> Option<&'m [u8]>;
}

/// A flash in the hands of several, which take turns. What is erased or written is read back: of worn flash they learn at
/// once.
#[derive(Debug)]
pub struct Shared<'f, F>(&'f RefCell<F>);

impl<F> Clone for Shared<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Shared<'_, F> {}

/// Flash that does not take, or does not give, what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(all(target_os = "none", feature = "image"), derive(defmt::Format))]
pub struct Worn {
    /// Where, from the start of the flash: the page that was erased, or the bytes that were written or read.
    pub offset: u32,
}

impl NorFlashError for Worn {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

/// Bytes that are read back at once: whole words of any flash.
const PIECE: usize = 64;

impl<'f, F: NorFlash> Shared<'f, F> {
    /// A share of `flash`.
    pub fn new(flash: &'f RefCell<F>) -> Self {
        Self(flash)
    }

    /// Calls `work` with the flash; [`Worn`] where that fails, or another share is at work.
    fn at<T>(
        &self,
        offset: u32,
        work: impl FnOnce(&mut F) -> Result<T, F::Error>,
    ) -> Result<T, Worn> {
        let mut flash = self.0.try_borrow_mut().map_err(|_| Worn { offset })?;
        work(&mut flash).map_err(|_| Worn { offset })
    }

    /// Whether the bytes from `offset` on are those.
    fn holds(&self, offset: u32, bytes: impl Iterator<Item = u8>) -> Result<(), Worn> {
        let mut bytes = bytes.peekable();
        let mut at = offset;
        while bytes.peek().is_some() {
            let mut found = [0; PIECE];
            // The last piece may be shorter, but is whole words.
            let mut wanted = [0; PIECE];
            let mut len = 0;
            for (to, from) in wanted.iter_mut().zip(bytes.by_ref()) {
                *to = from;
                len += 1;
            }
            let found = found.get_mut(..len).unwrap_or_default();
            self.at(at, |flash| flash.read(at, found))?;
            if wanted.get(..len) != Some(found) {
                return Err(Worn { offset });
            }
            // At most PIECE.
            at = at.saturating_add(len as u32);
        }
        Ok(())
    }
}

impl<F: Mapped> Shared<'_, F> {
    /// As [`Mapped::bytes`].
    ///
    /// # Safety
    ///
    /// As there.
    pub unsafe fn bytes<'m>(&self, range: Range<u32>) -> Option<&'m [u8]> {
        let flash = self.0.try_borrow().ok()?;
        // SAFETY: handed on to the caller.
        unsafe { flash.bytes(range) }
    }
}

impl<F> ErrorType for Shared<'_, F> {
    type Error = Worn;
}

impl<F: NorFlash> ReadNorFlash for Shared<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Worn> {
        self.at(offset, |flash| flash.read(offset, bytes))
    }

    fn capacity(&self) -> usize {
        self.0.try_borrow().map_or(0, |flash| flash.capacity())
    }
}

impl<F: NorFlash> NorFlash for Shared<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Worn> {
        // Page by page, so that the one that fails is told.
        for page in (from..to).step_by(F::ERASE_SIZE) {
            let end = to.min(page.saturating_add(F::ERASE_SIZE as u32));
            self.at(page, |flash| flash.erase(page, end))?;
            let len = end.saturating_sub(page) as usize;
            self.holds(page, core::iter::repeat_n(0xFF, len))
                .map_err(|_| Worn { offset: page })?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Worn> {
        self.at(offset, |flash| flash.write(offset, bytes))?;
        self.holds(offset, bytes.iter().copied())
    }
}

/// A flash that is done when it returns, for a library that waits.
pub(crate) struct Blocking<F>(pub(crate) F);

impl<F: ErrorType> ErrorType for Blocking<F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> embedded_storage_async::nor_flash::ReadNorFlash for Blocking<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> embedded_storage_async::nor_flash::NorFlash for Blocking<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.0.erase(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.0.write(offset, bytes)
    }
}

/// Runs a future that never waits.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
