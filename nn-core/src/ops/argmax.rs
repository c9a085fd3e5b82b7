//! Which tap of a window won, packed: up to 4 taps take two bits an output, up to 16 four, up to 256 a byte, more two
//! bytes.

/// Bits in which the number of one of `taps` taps is kept.
pub(super) const fn argmax_bits(taps: usize) -> usize {
    match taps {
        0..=4 => 2,
        5..=16 => 4,
        17..=256 => 8,
        _ => 16,
    }
}

/// Bytes in which a training step keeps which of `taps` taps won, for each of `outputs` outputs.
pub fn argmax_bytes(outputs: usize, taps: usize) -> usize {
    outputs.saturating_mul(argmax_bits(taps)).div_ceil(8)
}

/// Writes numbers of 2, 4, 8 or 16 bits one after the other, the first in the lowest bits.
pub(super) struct Packer<'p> {
    bytes: core::slice::IterMut<'p, u8>,
    bits: usize,
    byte: u32,
    filled: usize,
}

impl<'p> Packer<'p> {
    pub(super) fn new(bytes: &'p mut [u8], bits: usize) -> Self {
        Self {
            bytes: bytes.iter_mut(),
            bits,
            byte: 0,
            filled: 0,
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, number: usize) {
        // At most 16 bits on top of at most 6.
        self.byte |= (number as u32) << self.filled;
        self.filled += self.bits;
        while self.filled >= 8 {
            self.put();
            self.filled -= 8;
        }
    }

    #[inline(always)]
    fn put(&mut self) {
        if let Some(byte) = self.bytes.next() {
            // The lowest eight bits.
            *byte = self.byte as u8;
        }
        self.byte >>= 8;
    }

    pub(super) fn finish(mut self) {
        if self.filled > 0 {
            self.put();
        }
    }
}

/// Reads what a [`Packer`] wrote.
pub(super) struct Unpacker<'p> {
    bytes: core::slice::Iter<'p, u8>,
    bits: usize,
    byte: u32,
    filled: usize,
}

impl<'p> Unpacker<'p> {
    pub(super) fn new(bytes: &'p [u8], bits: usize) -> Self {
        Self {
            bytes: bytes.iter(),
            bits,
            byte: 0,
            filled: 0,
        }
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> usize {
        while self.filled < self.bits {
            let byte = self.bytes.next().copied().unwrap_or(0);
            self.byte |= u32::from(byte) << self.filled;
            self.filled += 8;
        }
        let number = self.byte & ((1 << self.bits) - 1);
        self.byte >>= self.bits;
        self.filled -= self.bits;
        number as usize
    }
}

/// The number at `index` of those that a [`Packer`] would have written.
#[inline(always)]
pub(super) fn packed(bytes: &[u8], bits: usize, index: usize) -> usize {
    let at = index * bits;
    let low = u32::from(bytes.get(at / 8).copied().unwrap_or(0));
    let number = if bits > 8 {
        let high = u32::from(bytes.get(at / 8 + 1).copied().unwrap_or(0));
        low | high << 8
    } else {
        low >> (at % 8) & ((1 << bits) - 1)
    };
    number as usize
}

/// Replaces it.
#[inline(always)]
pub(super) fn replace_packed(bytes: &mut [u8], bits: usize, index: usize, number: usize) {
    let at = index * bits;
    let mut parts = bytes.iter_mut().skip(at / 8);
    let Some(byte) = parts.next() else { return };
    if bits >= 8 {
        // The lowest eight bits, and the next eight.
        *byte = number as u8;
        if let (true, Some(byte)) = (bits > 8, parts.next()) {
            *byte = (number >> 8) as u8;
        }
    } else {
        let mask = ((1u32 << bits) - 1) << (at % 8);
        // Within a byte.
        *byte = (u32::from(*byte) & !mask | (number as u32) << (at % 8) & mask) as u8;
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn numbers_are_packed_and_unpacked() {
        for taps in [1, 4, 5, 16, 17, 256, 257, 65536] {
            let numbers: Vec<usize> = (0..13).map(|i| (i * 7919) % taps).collect();
            let bytes = argmax_bytes(numbers.len(), taps);
            assert_eq!(bytes, (13 * argmax_bits(taps)).div_ceil(8));
            let mut packed = vec![0xFF; bytes];
            let mut packer = Packer::new(&mut packed, argmax_bits(taps));
            for number in &numbers {
                packer.push(*number);
            }
            packer.finish();
            let mut unpacker = Unpacker::new(&packed, argmax_bits(taps));
            let found: Vec<usize> = numbers.iter().map(|_| unpacker.pop()).collect();
            assert_eq!(found, numbers, "{taps} taps");
            let bits = argmax_bits(taps);
            for (index, number) in numbers.iter().enumerate() {
                assert_eq!(super::packed(&packed, bits, index), *number);
            }
            // In another order, over something else.
            let mut replaced = vec![0x5A; bytes];
            for (index, number) in numbers.iter().enumerate().rev() {
                replace_packed(&mut replaced, bits, index, *number);
            }
            let found = (0..13).map(|index| super::packed(&replaced, bits, index));
            assert_eq!(found.collect::<Vec<_>>(), numbers, "{taps} taps");
        }
        assert_eq!(argmax_bytes(1568, 4), 392);
    }
}
