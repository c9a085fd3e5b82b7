//! The history of a training as TensorBoard reads it: a file of events, one for each number of each epoch.
//!
//! The file is a sequence of TFRecords, each a length, its checksum, an `Event` in protocol buffers and its checksum. Of `Event`
//! (`tensorflow/core/util/event.proto`) and `Summary` (`summary.proto`) there are
//!
//! ```text
//! Event    1 wall_time double   2 step int64   3 file_version string   5 summary Summary
//! Summary  1 value, repeated:   1 tag string   2 simple_value float
//! ```
//!
//! Times are seconds since the training began, so that the same history gives the same file.

use std::path::Path;

use crc::{CRC_32_ISCSI, Crc};

use super::{EpochRow, HistoryError};

/// What a file begins with.
const VERSION: &str = "brain.Event:2";

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Writes `rows` as TensorBoard's events. What was not measured is left out.
///
/// # Errors
/// When the file cannot be written.
pub fn write_events(path: &Path, rows: &[EpochRow]) -> Result<(), HistoryError> {
    std::fs::write(path, events(rows)).map_err(|source| HistoryError::File {
        path: path.to_path_buf(),
        source,
    })
}

fn events(rows: &[EpochRow]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut version = Message::default();
    version.bytes(3, VERSION.as_bytes());
    record(&mut file, &version.0);
    let mut seconds = 0.0;
    for row in rows {
        seconds += row.seconds;
        let values = [
            ("loss/train", Some(row.train_loss)),
            ("loss/validation", row.val_loss),
            ("accuracy/train", row.train_accuracy),
            ("accuracy/validation", row.val_accuracy),
            ("learning_rate", Some(row.learning_rate)),
        ];
        let mut summary = Message::default();
        for (tag, value) in values {
            let Some(value) = value else { continue };
            let mut one = Message::default();
            one.bytes(1, tag.as_bytes());
            // TensorBoard keeps numbers so.
            one.float(2, value as f32);
            summary.bytes(1, &one.0);
        }
        let mut event = Message::default();
        event.double(1, seconds);
        event.integer(2, row.epoch as u64);
        event.bytes(5, &summary.0);
        record(&mut file, &event.0);
    }
    file
}

/// One TFRecord.
fn record(file: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(&length).to_le_bytes());
    file.extend(data);
    file.extend(masked(data).to_le_bytes());
}

/// The checksum of a TFRecord: CRC-32C, turned and shifted, so that checksums of data that hold checksums stay good ones.
fn masked(data: &[u8]) -> u32 {
    CRC.checksum(data)
        .rotate_right(15)
        .wrapping_add(0xA282_EAD8)
}

/// A message in protocol buffers under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, value: u64) {
        let mut rest = value;
        while rest >= 0x80 {
            // The lowest seven bits.
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> EpochRow {
        EpochRow {
            epoch: 300,
            train_loss: 0.5,
            train_accuracy: Some(0.25),
            val_loss: None,
            val_accuracy: Some(1.0),
            learning_rate: 0.125,
            seconds: 1.5,
        }
    }

    /// Bytes that TensorBoard's own writer gives for these events (tensorboard 2.21, `RecordWriter` over `Event`).
    #[test]
    fn a_file_is_tensorboards() {
        let found: String = events(&[row()])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(found, GOLDEN);
    }

    const GOLDEN: &str = concat!(
        "0f000000000000006d532b091a0d627261696e2e4576656e743a32fc9851296a00000000000000af81ed6709000000000000",
        "f83f10ac022a5c0a110a0a6c6f73732f747261696e150000003f0a150a0e61636375726163792f747261696e150000803e0a",
        "1a0a1361636375726163792f76616c69646174696f6e150000803f0a140a0d6c6561726e696e675f72617465150000003e0b",
        "5ec2ec",
    );
}
