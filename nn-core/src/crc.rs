//! CRC-32 (IEEE 802.3, reflected polynomial `0xEDB88320`), as zlib and Ethernet use it.
//!
//! A table of 16 entries: 64 bytes of flash, two look-ups a byte.

const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut index = 0;
    while index < 16 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 4 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xEDB8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// A CRC-32 that is fed piece by piece.
///
/// ```
/// let mut crc = nn_core::crc::Crc32::new();
/// crc.update(b"12345");
/// crc.update(b"6789");
/// assert_eq!(crc.finish(), 0xCBF4_3926); // the check value of CRC-32/ISO-HDLC
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Crc32(u32);

impl Crc32 {
    /// The state before any byte.
    pub const fn new() -> Self {
        Self(0xFFFF_FFFF)
    }

    /// Feeds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        let look_up = |value: u32| TABLE.get((value & 15) as usize).copied().unwrap_or(0);
        for &byte in bytes {
            let mixed = self.0 ^ u32::from(byte);
            let half = (mixed >> 4) ^ look_up(mixed);
            self.0 = (half >> 4) ^ look_up(half);
        }
    }

    /// The checksum of all bytes fed so far.
    pub const fn finish(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

/// CRC-32 of `bytes` in one call.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.update(bytes);
    crc.finish()
}
