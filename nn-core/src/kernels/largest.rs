//! The largest of each window of an int8 map, four channels at a time, or sixteen with MVE.
#![allow(unsafe_code)]

#[cfg(not(mote_helium))]
mod words;

/// Windows in a row of outputs, all of as many cells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows<'x> {
    /// From the first cell of the first window on.
    pub(crate) x: &'x [i8],
    pub(crate) channels: usize,
    /// Cells of a window.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Numbers from a row of cells to the next.
    pub(crate) pitch: usize,
    /// Numbers from a window to the next.
    pub(crate) step: usize,
}

impl Windows<'_> {
    /// y receives the largest of each channel of each window.
    #[inline]
    pub(crate) fn largest(&self, y: &mut [i8]) {
        let channels = self.channels.max(1);
        let pixels = y.len() / channels;
        if pixels == 0 || self.rows == 0 || self.columns == 0 {
            return;
        }
        let Some(last) = self.last(pixels) else {
            return;
        };
        if last >= self.x.len() {
            return;
        }
        #[cfg(mote_helium)]
        // SAFETY: the last cell that is read lies in x (checked above), the pixels in y.
        unsafe {
            super::helium::each::largest(self, y.as_mut_ptr(), pixels);
        };
        #[cfg(not(mote_helium))]
        // SAFETY: the last cell that is read lies in x (checked above), the pixels in y.
        unsafe {
            self.largest_words(y, pixels);
        };
    }

    /// Where the last channel of the last cell of the last window lies.
    fn last(&self, pixels: usize) -> Option<usize> {
        let cells = self.columns.checked_mul(self.channels)?;
        let rows = (self.rows - 1).checked_mul(self.pitch)?;
        let pixels = (pixels - 1).checked_mul(self.step)?;
        pixels.checked_add(rows)?.checked_add(cells)?.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_leave_the_map_are_not_read() {
        let mut y = [3; 8];
        let windows = Windows {
            x: &[5; 31],
            channels: 8,
            rows: 2,
            columns: 2,
            pitch: 16,
            step: 16,
        };
        windows.largest(&mut y);
        assert_eq!(y, [3; 8]);
        Windows {
            x: &[5; 32],
            ..windows
        }
        .largest(&mut y);
        assert_eq!(y, [5; 8]);
    }
}
