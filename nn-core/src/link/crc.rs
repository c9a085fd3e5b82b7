//! CRC-32 (IEEE 802.3, reflected, polynomial `0xEDB88320`), a nibble at a time: 64 bytes of table,
//! two steps a byte, fed in pieces as bytes arrive.

const TABLE: [u32; 16] = table();

const fn table() -> [u32; 16] {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let mut remainder = nibble as u32;
        let mut bit = 0;
        while bit < 4 {
            let carry = remainder & 1;
            remainder >>= 1;
            if carry == 1 {
                remainder ^= 0xEDB8_8320;
            }
            bit += 1;
        }
        table[nibble] = remainder;
        nibble += 1;
    }
    table
}

/// A CRC-32 in the making.
#[derive(Clone, Copy)]
pub(super) struct Crc32(u32);

impl Crc32 {
    pub(super) const fn new() -> Self {
        Crc32(!0)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // A nibble indexes 16 entries: in bounds by its mask.
            self.0 ^= u32::from(byte);
            self.0 = (self.0 >> 4) ^ TABLE[(self.0 & 15) as usize];
            self.0 = (self.0 >> 4) ^ TABLE[(self.0 & 15) as usize];
        }
    }

    pub(super) const fn finish(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Crc32;

    #[test]
    fn check_value_of_the_crc_catalogue() {
        let mut crc = Crc32::new();
        crc.update(b"1234");
        crc.update(b"56789");
        assert_eq!(crc.finish(), 0xCBF4_3926);
    }
}
