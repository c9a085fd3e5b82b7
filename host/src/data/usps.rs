//! USPS: 11,000 digits of envelopes, 16 x 16, brought to MNIST's size (Hull 1994).
//!
//! `usps`: scaled to 20 x 20 and centred, as MNIST's digits are framed. `usps-full`: scaled to 28 x 28, so that they fill the
//! frame. The file has no order to rely on (1,100 of each digit): 6,000 that are drawn at random, always the same, may be
//! learnt from, the other 5,000 are tested on.

use std::path::Path;

use super::{DataError, DataSet, Part, SetFile, SetInfo, Stream, find, mat};

/// Digits with a margin, as MNIST's.
pub(super) const FRAMED: SetInfo = SetInfo {
    name: "usps",
    title: "digits of envelopes, framed as MNIST's",
    load: |set, directory, part| load(set, directory, part, 20),
    ..FULL
};

/// Digits that fill the frame.
pub(super) const FULL: SetInfo = SetInfo {
    name: "usps-full",
    title: "digits of envelopes that fill the frame",
    folder: "usps",
    shape: SHAPE,
    classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    samples: [6000, 5000],
    source: "J. Hull: A database for handwritten text recognition research; as USPS.mat of 11,000 digits",
    fetch: "",
    files: &[SetFile {
        name: "USPS.mat",
        sha256: "9f09eec7eba5872888b3e78373595cd7fd97d32e28b996be8c65eab068c874f2",
    }],
    load: |set, directory, part| load(set, directory, part, 28),
};

const SHAPE: [usize; 3] = [28, 28, 1];
/// Rows and columns of a digit.
const SIDE: usize = 16;
/// Digits that may be learnt from.
const TRAIN: usize = 6000;

fn load(set: &SetInfo, directory: &Path, part: Part, side: usize) -> Result<DataSet, DataError> {
    let file = &set.files[0];
    let path = find(directory, file.name).ok_or_else(|| DataError::Missing {
        set: set.name,
        file: file.name,
        directory: directory.to_path_buf(),
        fetch: set.fetch,
    })?;
    let bytes = std::fs::read(&path).map_err(|source| DataError::Read {
        path: path.clone(),
        source,
    })?;
    let matrix = |name: &str| {
        mat::matrix(&bytes, name).map_err(|source| DataError::Matlab {
            path: path.clone(),
            source,
        })
    };
    // One row of pixels and one label, 1 to 10, a digit.
    let (pixels, labels) = (matrix("fea")?, matrix("gnd")?);
    let content = |wanted: &str, found: String| DataError::Content {
        path: path.clone(),
        wanted: wanted.to_owned(),
        found,
    };
    let [train, test] = set.samples;
    if [pixels.rows, pixels.columns] != [train + test, SIDE * SIDE] {
        let found = format!("{} x {}", pixels.rows, pixels.columns);
        return Err(content("`fea` with 11,000 rows of 256 pixels", found));
    }
    if labels.values.len() != pixels.rows {
        return Err(content(
            "`gnd` with 11,000 labels",
            labels.values.len().to_string(),
        ));
    }
    if let Some(label) = labels
        .values
        .iter()
        .find(|label| !(1..=10).contains(*label))
    {
        return Err(content("labels from 1 to 10", label.to_string()));
    }
    let mut order: Vec<usize> = (0..pixels.rows).collect();
    Stream::new(0, Stream::SPLIT, 0, 0).shuffle(&mut order);
    let chosen = match part {
        Part::Train => &order[..TRAIN],
        Part::Test => &order[TRAIN..],
    };
    let mut images = Vec::with_capacity(chosen.len() * SHAPE[0] * SHAPE[1]);
    for &index in chosen {
        let digit: Vec<u8> = pixels.row(index).collect();
        images.extend(framed(&digit, side));
    }
    Ok(DataSet {
        name: set.name.to_owned(),
        shape: SHAPE,
        classes: set.classes.len(),
        images,
        labels: chosen
            .iter()
            .map(|&index| labels.values[index] - 1)
            .collect(),
        values: None,
    })
}

/// A digit scaled to `side` x `side`, in the middle of a black frame. Between the centres of pixels values change linearly.
fn framed(digit: &[u8], side: usize) -> Vec<u8> {
    let mut image = vec![0; SHAPE[0] * SHAPE[1]];
    let margin = (SHAPE[0] - side) / 2;
    // The pixel before a place, the one after, and how far it is from the first.
    let place = |at: usize| {
        let centre = (at as f32 + 0.5) * SIDE as f32 / side as f32 - 0.5;
        let low = centre.clamp(0.0, (SIDE - 1) as f32);
        let first = low as usize;
        (first, (first + 1).min(SIDE - 1), low - first as f32)
    };
    for row in 0..side {
        let (top, bottom, down) = place(row);
        for column in 0..side {
            let (left, right, across) = place(column);
            let pixel = |row: usize, column: usize| f32::from(digit[row * SIDE + column]);
            let line = |row| pixel(row, left) * (1.0 - across) + pixel(row, right) * across;
            let value = line(top) * (1.0 - down) + line(bottom) * down;
            // Between two bytes: a byte.
            image[(margin + row) * SHAPE[1] + margin + column] = value.round() as u8;
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_scaled_and_centred() {
        let digit: Vec<u8> = (0..SIDE * SIDE)
            .map(|at| if at % SIDE < 8 { 200 } else { 0 })
            .collect();
        let image = framed(&digit, 20);
        let row: Vec<u8> = image[14 * 28..15 * 28].to_vec();
        assert_eq!(row[..4], [0; 4]);
        assert_eq!(row[4..13], [200; 9]);
        // The edge lies between the columns 13 and 14, in the middle.
        assert_eq!(row[13] as u16 + row[14] as u16, 200);
        assert_eq!(row[15..], [0; 13]);
        assert_eq!(image[3 * 28..4 * 28], [0; 28]);
        let full = framed(&digit, 28);
        assert!(full[..13].iter().all(|&pixel| pixel == 200));
        assert_eq!(framed(&[7; 256], 28), [7; 784]);
    }
}
