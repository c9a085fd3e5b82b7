//! What a network takes at least, before it is trained: whether a board can ever hold it.

use serde::Serialize;

use super::{Format, Recipe};
use crate::device::boards::Board;

/// The least that a network takes, in bytes: no plan can do with less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Weights and biases.
    pub parameters: usize,
    /// Flash, for those alone.
    pub flash: usize,
    /// RAM, for the input and the output of the layer where both are largest.
    pub ram: usize,
}

/// A board that is too small.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} does not fit {board} in {format}: its {parameters} parameters take {flash} bytes of flash at least, \
     {board} has {has_flash}; its activations take {ram} bytes of RAM at least, {board} has {has_ram}. Take a larger \
     board, or a smaller network"
)]
pub struct TooSmall {
    /// The recipe's name.
    pub name: String,
    /// The format.
    pub format: Format,
    /// The board.
    pub board: &'static str,
    /// Weights and biases.
    pub parameters: usize,
    /// Bytes of flash that they take.
    pub flash: usize,
    /// The board's.
    pub has_flash: u32,
    /// Bytes of RAM that activations take.
    pub ram: usize,
    /// The board's.
    pub has_ram: u32,
}

impl Recipe {
    /// What the network takes at least in `format`.
    pub fn needs(&self, format: Format) -> Needs {
        let bytes = match format {
            Format::F32 | Format::Q16 => 4,
            Format::I8 | Format::I8Train | Format::Head | Format::HeadQ16 => 1,
        };
        let parameters = self.parameters();
        let size = |shape: &[usize]| shape.iter().product::<usize>();
        // What is computed in place, or not at all, takes one buffer.
        let layers = self.layers().iter().map(|layer| {
            let (input, output) = (size(&layer.input_shape), size(&layer.output_shape));
            match layer.parameters {
                0 => input.max(output),
                _ => input + output,
            }
        });
        Needs {
            parameters,
            flash: parameters * bytes,
            ram: layers.max().unwrap_or(0) * bytes,
        }
    }

    /// Refuses a board that the network cannot fit, however it is planned.
    ///
    /// # Errors
    /// [`TooSmall`], with all sizes.
    pub fn fits(&self, board: &'static Board, format: Format) -> Result<(), TooSmall> {
        let needs = self.needs(format);
        let (has_flash, has_ram) = (board.flash.len, board.ram.len);
        if needs.flash <= has_flash as usize && needs.ram <= has_ram as usize {
            return Ok(());
        }
        Err(TooSmall {
            name: self.name.clone(),
            format,
            board: board.name,
            parameters: needs.parameters,
            flash: needs.flash,
            has_flash,
            ram: needs.ram,
            has_ram,
        })
    }
}
