//! Reshape: the same numbers, in the same order, in the output's shape. It moves nothing where nobody else needs its
//! input.

use crate::engine::{Forward, Sizes};
use crate::ops::{Check, NodeFault, OpSet, Operator, flatten};

pub(super) use flatten::FACTS;

/// The operator.
pub(super) struct Reshape;

impl<K: OpSet> Operator<K> for Reshape {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.same_dtype()?;
        check.same_quant()?;
        if check.x.elements() != check.y.elements() {
            return Err(NodeFault::Shape(check.y_id));
        }
        Ok(())
    }

    fn resolve(&self, _: &Check) -> Option<(Forward, Sizes)> {
        Some((flatten::run, Sizes::None))
    }
}
