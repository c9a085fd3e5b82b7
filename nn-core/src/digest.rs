//! FNV-1a, 64 bits: the digest by which two machines show that they computed the same bytes.
//!
//! Not cryptographic. Source: Fowler, Noll, Vo; offset basis `0xcbf29ce484222325`, prime `0x100000001b3`.

/// A digest that is fed piece by piece.
///
/// ```
/// let mut digest = nn_core::digest::Fnv1a::new();
/// digest.update(b"foobar");
/// assert_eq!(digest.finish(), 0x8594_4171_f739_67e8);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fnv1a(u64);

impl Fnv1a {
    /// The state before any byte.
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Feeds `bytes`, in order.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The digest of all bytes fed so far.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

impl Default for Fnv1a {
    fn default() -> Self {
        Self::new()
    }
}
