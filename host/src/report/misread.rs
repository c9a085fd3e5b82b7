//! The images that were misread, each with what it is and what it was read as.

use std::path::Path;

use plotters::prelude::*;

use super::ReportError;
use super::canvas::{BLUE, DrawError, FAINT, INK, ORANGE, bold, centred, draw, text};

/// Images in a row, and rows, at most.
const COLUMNS: usize = 10;
const ROWS: usize = 6;
/// Pixels of one image's longer side, and of the cell that holds it and its label.
const IMAGE: usize = 96;
const CELL: (usize, usize) = (112, 140);

/// A sample that was misread.
#[derive(Debug, Clone, Copy)]
pub struct Misread<'m> {
    /// Its pixels, HWC; one channel (grey) or three (RGB).
    pub pixels: &'m [u8],
    /// The class that it has.
    pub truth: &'m str,
    /// The class that it was read as.
    pub predicted: &'m str,
}

/// Draws the first 60 of `misread`, images of `shape` (height, width, channels).
///
/// Under each stands what it is (blue) and what it was read as (orange).
///
/// # Errors
/// When an image is not of `shape`, or the file cannot be written.
pub fn misread_grid(
    path: &Path,
    title: &str,
    shape: [usize; 3],
    misread: &[Misread<'_>],
) -> Result<(), ReportError> {
    let [height, width, channels] = shape;
    let length = height * width * channels;
    let wrong = misread.iter().find(|sample| sample.pixels.len() != length);
    if length == 0 || !matches!(channels, 1 | 3) || wrong.is_some() {
        let found = wrong.map_or(length, |sample| sample.pixels.len());
        return Err(ReportError::Shape {
            path: path.to_path_buf(),
            wanted: format!("images of {height} x {width} with 1 or 3 channels, {length} bytes"),
            found: format!("{channels} channels, {found} bytes"),
        });
    }
    let shown = &misread[..misread.len().min(COLUMNS * ROWS)];
    let rows = shown.len().div_ceil(COLUMNS).max(1);
    let title = if shown.len() < misread.len() {
        format!("{title}: the first {} of {}", shown.len(), misread.len())
    } else {
        title.to_owned()
    };
    // Margins and title of the paper: 48 wide, 80 high.
    let paper = ((COLUMNS * CELL.0 + 48) as u32, (rows * CELL.1 + 80) as u32);
    draw(path, &title, paper, |area| {
        if shown.is_empty() {
            area.draw_text("None was misread.", &text(20, INK), (8, 40))?;
        }
        for (index, sample) in shown.iter().enumerate() {
            let corner = (index % COLUMNS * CELL.0, index / COLUMNS * CELL.1);
            image(area, sample.pixels, shape, corner)?;
            let (x, y) = (
                (corner.0 + IMAGE / 2) as i32,
                (corner.1 + IMAGE + 16) as i32,
            );
            area.draw_text(sample.truth, &centred(bold(19, BLUE)), (x - 22, y))?;
            area.draw_text("→", &centred(text(17, INK)), (x, y))?;
            area.draw_text(sample.predicted, &centred(bold(19, ORANGE)), (x + 22, y))?;
        }
        Ok(())
    })
}

/// Draws one image, each of its pixels as a square of whole pixels.
fn image(
    area: &super::canvas::Area<'_>,
    pixels: &[u8],
    [height, width, channels]: [usize; 3],
    corner: (usize, usize),
) -> Result<(), DrawError> {
    let scale = (IMAGE / height.max(width)).max(1);
    let (left, top) = (
        corner.0 + (IMAGE.saturating_sub(width * scale)) / 2,
        corner.1,
    );
    // Two pixels of room for the frame.
    let (left, top) = (left + 2, top + 2);
    let point = |x: usize, y: usize| ((left + x * scale) as i32, (top + y * scale) as i32);
    for (index, pixel) in pixels.chunks_exact(channels).enumerate() {
        let (x, y) = (index % width, index / width);
        let colour = match *pixel {
            [red, green, blue] => RGBColor(red, green, blue),
            // Ink on paper: what is bright in the data is dark in the picture.
            [grey] => RGBColor(255 - grey, 255 - grey, 255 - grey),
            _ => WHITE,
        };
        let (near, far) = (point(x, y), point(x + 1, y + 1));
        let square = [near, far];
        area.draw(&Rectangle::new(square, colour.filled()))?;
    }
    let (near, far) = (point(0, 0), point(width, height));
    area.draw(&Rectangle::new(
        [(near.0 - 1, near.1 - 1), far],
        FAINT.stroke_width(1),
    ))?;
    Ok(())
}
