//! The first 32 bytes of a blob, little-endian.

use crate::crc::Crc32;

/// `MOTE`.
pub const MAGIC: [u8; 4] = *b"MOTE";
/// The format version that this crate reads and writes.
pub const VERSION: u16 = 2;
/// Bytes of the header.
pub const HEADER_LEN: usize = 32;
/// Where the CRC lies: the last four bytes.
pub(super) const CRC_AT: usize = 28;
/// Alignment of the blob and of its weights section.
pub(crate) const ALIGN: usize = 16;

/// The layouts of weights: what a header may say.
pub mod layout {
    use crate::kernels::packed::Layout;

    /// Every weight as its operator's plain layout has it.
    pub const PLAIN: u16 = 0;
    /// int8 dense layers and convolutions may be packed for kernels of Cortex-M4 and M7.
    pub const ARMV7EM: u16 = Layout::Armv7em.number();
    /// The same for kernels of Cortex-M3 and M0.
    pub const ARMV7M: u16 = Layout::Armv7m.number();

    /// Whether this target has kernels for it.
    pub const fn is_known(layout: u16) -> bool {
        match layout {
            PLAIN => true,
            ARMV7EM => Layout::Armv7em.is_known(),
            ARMV7M => Layout::Armv7m.is_known(),
            _ => false,
        }
    }

    /// The layouts that this target has kernels for.
    pub(crate) const KNOWN: &str = match (is_known(ARMV7EM), is_known(ARMV7M)) {
        (true, false) => "0 (plain) and 1 (armv7em)",
        (false, true) => "0 (plain) and 2 (armv7m)",
        _ => "0 (plain), 1 (armv7em) and 2 (armv7m)",
    };
}

/// The header's fields, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header {
    /// Format version.
    pub version: u16,
    /// How weights are laid out: see [`layout`].
    pub layout: u16,
    /// Bytes of the graph, which begins at 32.
    pub graph_len: u32,
    /// Where the weights begin; a multiple of 16.
    pub weights_at: u32,
    /// Bytes of the weights; they end the blob.
    pub weights_len: u32,
    /// Bytes of arena for inference.
    pub arena_infer: u32,
    /// Bytes of arena for the training plan; 0 without one.
    pub arena_train: u32,
    /// CRC-32 of the blob without these four bytes.
    pub crc: u32,
}

impl Header {
    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(bytes.iter().skip(at)) {
                *to = *from;
            }
            u32::from_le_bytes(word)
        };
        Self {
            // Two halves of one word.
            version: (word(4) & 0xFFFF) as u16,
            layout: (word(4) >> 16) as u16,
            graph_len: word(8),
            weights_at: word(12),
            weights_len: word(16),
            arena_infer: word(20),
            arena_train: word(24),
            crc: word(CRC_AT),
        }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let words = [
            u32::from_le_bytes(MAGIC),
            u32::from(self.version) | (u32::from(self.layout) << 16),
            self.graph_len,
            self.weights_at,
            self.weights_len,
            self.arena_infer,
            self.arena_train,
            self.crc,
        ];
        let mut bytes = [0; HEADER_LEN];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// The CRC-32 of a whole blob: all bytes but the four that hold it.
pub(crate) fn checksum(blob: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.update(blob.get(..CRC_AT).unwrap_or(&[]));
    crc.update(blob.get(HEADER_LEN..).unwrap_or(&[]));
    crc.finish()
}
