//! Any function of an int8, as a table: y = table\[x + 128\].
//!
//! The exporter makes the 256 entries: of the real function, y = clamp(round(f(scale_x · (x − zero_x)) / scale_y) +
//! zero_y), computed in f64, halves away from zero (hard sigmoid, step, RReLU's mean, …); or of an integer rule such
//! as [`leaky_relu`](super::leaky_relu). It takes 256 bytes of flash and one load for each number.

use serde::{Deserialize, Serialize};

use crate::engine::{Forward, Frame, Sizes};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::{Check, Facts, NodeFault, OpSet, Operator, Output};
use crate::tensor::{DType, Shape, TensorId};

/// Parameters of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// int8 `[256]`: the results for −128, −127, … 127, in the output's quantization.
    pub table: TensorId,
}

/// How many entries.
pub const ENTRIES: u32 = 256;

impl Lookup {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            constants: [Some(self.table), None],
            output: Output::InPlace,
            ..Facts::PLAIN
        }
    }
}

impl<K: OpSet> Operator<K> for Lookup {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.x_dtype(DType::I8)?;
        check.same_dtype()?;
        check.y_shape(check.x.shape)?;
        check.parameter(self.table, DType::I8, Shape::vector(ENTRIES))?;
        Ok(())
    }

    fn resolve(&self, _: &Check) -> Option<(Forward, Sizes)> {
        Some((code::<K>()?, Sizes::None))
    }
}

/// The function that runs it forward.
pub(super) const fn code<K: OpSet>() -> Option<Forward> {
    if K::I8 { Some(run) } else { None }
}

fn run(frame: &Frame, memory: &mut Memory) -> Option<()> {
    memory.copy(frame.x(), frame.y())?;
    let ([table], [y]) = memory.borrow([frame.constant(0)], [frame.y()])?;
    forward_i8(numbers_mut(y)?, numbers(table)?);
    Some(())
}

/// In place. `table` has 256 entries.
pub fn forward_i8(values: &mut [i8], table: &[i8]) {
    let Some(table) = table.first_chunk::<{ ENTRIES as usize }>() else {
        return;
    };
    #[cfg(mote_helium)]
    crate::kernels::helium::each::look_up(values, table);
    #[cfg(not(mote_helium))]
    look_up(values, table);
}

#[cfg(not(mote_helium))]
#[inline(always)]
fn look_up(values: &mut [i8], table: &[i8; ENTRIES as usize]) {
    let at = |value: i8| {
        // Eight bits: an index of the table.
        let index = usize::from(value.wrapping_sub(i8::MIN).cast_unsigned());
        table.get(index).copied().unwrap_or(0)
    };
    let (quads, rest) = values.as_chunks_mut::<4>();
    for quad in quads {
        *quad = quad.map(at);
    }
    for value in rest {
        *value = at(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_count_from_the_lowest() {
        let table: [i8; 256] = core::array::from_fn(|i| (i as i32 - 128) as i8);
        let mut values = [-128, -1, 0, 127];
        forward_i8(&mut values, &table);
        assert_eq!(values, [-128, -1, 0, 127]);
        forward_i8(&mut values, &table.map(|v| !v));
        assert_eq!(values, [127, 0, -1, -128]);
    }
}
