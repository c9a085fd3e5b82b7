//! The confusion matrix: which class is predicted as which.

use std::path::Path;

use plotters::prelude::*;

use super::ReportError;
use super::canvas::{BLUE, INK, ORANGE, blend, bold, centred, draw, text};

/// Pixels of one cell.
const CELL: i32 = 62;
/// Pixels left of and above the cells.
const LEFT: i32 = 96;
const TOP: i32 = 70;

/// Draws how often each class (row) was predicted as each class (column), and the recall of each.
///
/// What is right is blue, what is wrong is orange, both deeper the larger their share of the row.
///
/// # Errors
/// When `counts` is not square with a row for each class, or the file cannot be written.
pub fn confusion_matrix(
    path: &Path,
    title: &str,
    classes: &[&str],
    counts: &[Vec<u32>],
) -> Result<(), ReportError> {
    let size = classes.len();
    if size == 0 || counts.len() != size || counts.iter().any(|row| row.len() != size) {
        let rows: Vec<usize> = counts.iter().map(Vec::len).collect();
        return Err(ReportError::Shape {
            path: path.to_path_buf(),
            wanted: format!("{size} rows of {size} counts, one for each class"),
            found: format!("rows of {rows:?}"),
        });
    }
    let side = size as i32 * CELL;
    // Margins and title of the paper: 48 wide, 80 high.
    let paper = (
        (LEFT + side + 48) as u32 + 140,
        (TOP + side + 80) as u32 + 12,
    );
    draw(path, title, paper, |area| {
        area.draw_text("predicted", &centred(bold(17, INK)), (LEFT + side / 2, 14))?;
        let upright = bold(17, INK).transform(FontTransform::Rotate270);
        area.draw_text("true", &centred(upright), (16, TOP + side / 2))?;
        area.draw_text(
            "recall",
            &centred(bold(17, INK)),
            (LEFT + side + 66, TOP - 22),
        )?;

        for (row, (class, line)) in classes.iter().zip(counts).enumerate() {
            let middle = row as i32 * CELL + CELL / 2;
            let label = centred(text(18, INK));
            area.draw_text(class, &label, (LEFT - 28, TOP + middle))?;
            area.draw_text(class, &label, (LEFT + middle, TOP - 22))?;

            let total = line.iter().copied().sum::<u32>();
            let right = line.get(row).copied().unwrap_or(0);
            let share = |count: u32| f64::from(count) / f64::from(total.max(1));
            if total > 0 {
                let words = format!("{:.1} %", share(right) * 100.0);
                area.draw_text(&words, &label, (LEFT + side + 66, TOP + middle))?;
            }
            for (column, &count) in line.iter().enumerate() {
                let (colour, depth) = if row == column {
                    (BLUE, 0.15 + 0.85 * share(count))
                } else {
                    // The root lets a few misread among a thousand be seen.
                    (ORANGE, (share(count) * 4.0).sqrt())
                };
                let paper = RGBColor(247, 248, 250);
                let fill = if count == 0 {
                    paper
                } else {
                    blend(WHITE, colour, depth)
                };
                let corner = (LEFT + column as i32 * CELL, TOP + row as i32 * CELL);
                let far = (corner.0 + CELL - 2, corner.1 + CELL - 2);
                area.draw(&Rectangle::new([corner, far], fill.filled()))?;
                if count > 0 {
                    let ink = if depth > 0.55 { WHITE } else { INK };
                    let ink = RGBColor(ink.0, ink.1, ink.2);
                    let middle = (corner.0 + CELL / 2 - 1, corner.1 + CELL / 2 - 1);
                    area.draw_text(&count.to_string(), &centred(text(17, ink)), middle)?;
                }
            }
        }
        Ok(())
    })
}
