//! Pictures of what came out: PNG files and a GIF, drawn without any font or library of the system.
//!
//! Each takes plain numbers, so that whatever measures can draw.

mod canvas;
mod confusion;
mod curves;
mod fit;
mod forecast;
mod misread;
pub mod structure;

use std::path::PathBuf;

pub use confusion::confusion_matrix;
pub use curves::{device_curve, training_curve};
pub use fit::{boundary, fitted_animation, fitted_curve};
pub use forecast::forecast;
pub use misread::{Misread, misread_grid};

/// Why a picture cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file cannot be written.
    #[error("cannot write the picture {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The picture cannot be drawn or packed.
    #[error("cannot draw the picture {path}")]
    Draw {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is to be drawn does not fit together.
    #[error("the picture {path}: wanted {wanted}, found {found}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// What was expected.
        wanted: String,
        /// What was given.
        found: String,
    },
}

#[cfg(test)]
mod tests;
