use std::path::{Path, PathBuf};

use super::*;
use crate::history::EpochRow;

/// Where the pictures go; `MOTE_PICTURES` keeps them, to be looked at.
fn picture(name: &str, draw: impl FnOnce(&Path) -> Result<(), ReportError>) -> Decoded {
    let kept = std::env::var_os("MOTE_PICTURES").map(PathBuf::from);
    let folder = kept.clone().unwrap_or_else(std::env::temp_dir);
    let path = folder.join(format!("mote-{}-{name}.png", std::process::id()));
    draw(&path).unwrap();
    let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    if kept.is_none() {
        std::fs::remove_file(&path).unwrap();
    }
    Decoded { pixels }
}

struct Decoded {
    pixels: Vec<u8>,
}

impl Decoded {
    /// How many pixels have this colour.
    fn count(&self, colour: plotters::style::RGBColor) -> usize {
        let colour = [colour.0, colour.1, colour.2];
        self.pixels
            .chunks_exact(3)
            .filter(|pixel| *pixel == colour)
            .count()
    }
}

fn rows(count: usize) -> Vec<EpochRow> {
    (1..=count)
        .map(|epoch| EpochRow {
            epoch,
            train_loss: 0.6 / epoch as f64,
            train_accuracy: Some(1.0 - 0.15 / epoch as f64),
            val_loss: Some(0.25 / epoch as f64),
            val_accuracy: Some(1.0 - 0.06 / epoch as f64),
            learning_rate: 1e-3,
            seconds: 1.0,
        })
        .collect()
}

#[test]
fn a_training_shows_both_curves() {
    for count in [1, 6] {
        let drawn = picture(&format!("training-{count}"), |path| {
            training_curve(path, "mnist-cnn", &rows(count))
        });
        assert!(drawn.count(canvas::BLUE) > 60 && drawn.count(canvas::ORANGE) > 60);
        assert!(drawn.count(canvas::INK) > 100, "no text");
    }
    let without: Vec<EpochRow> = rows(3)
        .into_iter()
        .map(|row| EpochRow {
            val_loss: None,
            val_accuracy: None,
            ..row
        })
        .collect();
    let drawn = picture("training-plain", |path| {
        training_curve(path, "mnist-cnn", &without)
    });
    assert_eq!(drawn.count(canvas::ORANGE), 0);
    assert!(training_curve(Path::new("none.png"), "none", &[]).is_err());
}

#[test]
fn learning_on_a_device_shows_its_points() {
    let points = [
        (0, 0.12),
        (125, 0.55),
        (250, 0.7),
        (500, 0.79),
        (1000, 0.83),
    ];
    let steps = [
        (100, 2.0, Some(0.3)),
        (400, 1.1, None),
        (1000, 0.5, Some(0.8)),
    ];
    let drawn = picture("learning", |path| {
        device_curve(
            path,
            "Learning rot90 on an emulated Cortex-M4F",
            &points,
            &steps,
        )
    });
    assert!(drawn.count(canvas::BLUE) > 300);
    assert!(drawn.count(canvas::ORANGE) > 300);
}

#[test]
fn a_confusion_matrix_shows_what_is_wrong_in_orange() {
    let classes = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let counts = |wrong: u32| -> Vec<Vec<u32>> {
        let cell = |row: usize, column: usize| match () {
            () if row == column => 1000 - 9 * wrong,
            () if (row * 3 + column).is_multiple_of(4) => wrong,
            () => 0,
        };
        (0..10)
            .map(|row| (0..10).map(|column| cell(row, column)).collect())
            .collect()
    };
    let oranges = |drawn: &Decoded| {
        drawn
            .pixels
            .chunks_exact(3)
            .filter(|p| p[0] > 200 && p[2] < p[0] - 20)
            .count()
    };
    let title = "mnist-cnn: 10 000 test samples";
    let wrong = picture("confusion", |path| {
        confusion_matrix(path, title, &classes, &counts(9))
    });
    let right = picture("right", |path| {
        confusion_matrix(path, title, &classes, &counts(0))
    });
    assert!(oranges(&wrong) > 10_000);
    assert_eq!(oranges(&right), 0);

    let error = confusion_matrix(Path::new("x.png"), title, &classes, &[vec![1; 9]]).unwrap_err();
    assert!(error.to_string().contains("10 rows of 10"), "{error}");
}

#[test]
fn misread_samples_show_their_pixels() {
    let pixels: Vec<u8> = (0..784)
        .map(|pixel| if pixel % 28 == 14 { 255 } else { 0 })
        .collect();
    let sample = Misread {
        pixels: &pixels,
        truth: "1",
        predicted: "7",
    };
    let shape = [28, 28, 1];
    let black = plotters::style::BLACK;
    let title = "mnist-cnn, misread";
    let three = picture("misread", |path| {
        misread_grid(path, title, shape, &[sample; 3])
    });
    // A column of 28 pixels, each drawn as 3 x 3.
    assert_eq!(three.count(black), 3 * 28 * 9);
    let many = picture("misread-many", |path| {
        misread_grid(path, title, shape, &[sample; 97])
    });
    assert_eq!(many.count(black), 60 * 28 * 9);
    let none = picture("misread-none", |path| misread_grid(path, title, shape, &[]));
    assert_eq!(none.count(black), 0);
    assert!(misread_grid(Path::new("x.png"), title, [28, 28, 2], &[sample]).is_err());
}
