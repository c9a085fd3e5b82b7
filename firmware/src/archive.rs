//! Several blobs in one file: how many, the length of each (u32, little-endian), then the blobs, each on a 16-byte
//! boundary.
//!
//! Used by `build.rs` too.

/// Boundary on which each blob begins.
const ALIGN: usize = 16;

/// Writes an archive of `blobs`, piece by piece.
pub fn pack(blobs: &[&[u8]], mut write: impl FnMut(&[u8])) {
    // Archives are far smaller than 4 GB.
    let word = |number: usize| (number as u32).to_le_bytes();
    let padding = |len: usize| &[0; ALIGN][..len.next_multiple_of(ALIGN) - len];
    write(&word(blobs.len()));
    for blob in blobs {
        write(&word(blob.len()));
    }
    write(padding(4 * (1 + blobs.len())));
    for blob in blobs {
        write(blob);
        write(padding(blob.len()));
    }
}

/// The blobs of an archive; it ends early where that is cut short.
pub fn blobs(archive: &[u8]) -> impl Iterator<Item = &[u8]> {
    let word = |at: usize| {
        let bytes = archive.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let count = word(0).unwrap_or(0);
    let mut end = count.saturating_add(1).saturating_mul(4);
    (0..count).map_while(move |index| {
        let start = end.checked_next_multiple_of(ALIGN)?;
        end = start.checked_add(word(4 * (1 + index))?)?;
        archive.get(start..end)
    })
}
