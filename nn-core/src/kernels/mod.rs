//! The inner loops. `portable` serves every core; faster families for some cores join it and give the same bits.

/// What a function in assembly alone begins with: the core, where the target's name does not tell it. (LLVM, when it
/// lists the symbols of such functions, knows no more than that name.)
#[cfg(mote_helium)]
macro_rules! cpu {
    () => {
        ".cpu cortex-m55"
    };
}
#[cfg(all(mote_armv7em, not(mote_helium)))]
macro_rules! cpu {
    () => {
        ""
    };
}

#[cfg(all(mote_armv7em, not(mote_helium)))]
mod armv7em;
mod chain;
#[cfg(mote_armv7em)]
pub(crate) mod fixed;
#[cfg(mote_helium)]
pub(crate) mod helium;
mod largest;
mod lstm_unit;
pub mod packed;
mod portable;
mod products;
mod requant;
mod rows;
mod scaled;
#[cfg(target_arch = "x86_64")]
mod sse2;
mod sums;
#[cfg(mote_vfp)]
mod vfp;

pub use chain::{Entered, Layers, Link};
pub(crate) use largest::Windows;
pub(crate) use lstm_unit::{LstmUnit, saturate_i16};
pub(crate) use portable::{
    BLOCK, ROWS_I8, accumulate, accumulate_each, accumulate_part, accumulate_row, dot, dot_rows_i8,
    part, start, vector_matrix,
};
#[cfg(not(mote_helium))]
pub(crate) use portable::{GATHERED_I8, accumulate_each_i8};
pub use products::Products;
#[cfg(mote_armv7em)]
pub(crate) use products::sum_products_by;
pub(crate) use products::{
    add_products, add_products_f32, subtract_products_f32, sum_products, sum_products_f32,
    sum_vector_f32,
};
pub use requant::Requant;
pub(crate) use rows::{descend_rows, descend_rows_f32, vector_matrix_f32};
pub use scaled::ScaledRows;
pub(crate) use scaled::{add_scaled_rows, add_scaled_rows_f32, add_scaled_rows_i8};
pub(crate) use sums::LEFT_SHIFT;
#[cfg(not(mote_helium))]
pub(crate) use sums::{Sums, each_repeated};
