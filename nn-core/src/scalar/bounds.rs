//! How far the functions of f32 may be off: the text of `docs/numerics.md` as numbers, for what checks results.

/// A result may differ from the exact y by `relative · |y| + absolute`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// Part of |y|.
    pub relative: f64,
    /// What is added to that: matters near 0 only.
    pub absolute: f64,
}

impl Bound {
    pub(super) const fn relative(relative: f64) -> Self {
        Self {
            relative,
            absolute: 0.0,
        }
    }

    pub(super) const fn above(self, absolute: f64) -> Self {
        Self { absolute, ..self }
    }
}

/// A bound for each function of f32; [`BOUNDS`](super::BOUNDS) are those of the functions in use.
///
/// Held over all 2³² inputs by `tests/functions.rs`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// [`Scalar::exp`](super::Scalar::exp).
    pub exp: Bound,
    /// [`Scalar::ln`](super::Scalar::ln).
    pub ln: Bound,
    /// [`Scalar::sqrt`](super::Scalar::sqrt).
    pub sqrt: Bound,
    /// [`Scalar::rsqrt`](super::Scalar::rsqrt).
    pub rsqrt: Bound,
    /// [`Scalar::sigmoid`](super::Scalar::sigmoid).
    pub sigmoid: Bound,
    /// [`Scalar::tanh`](super::Scalar::tanh).
    pub tanh: Bound,
}

/// The least f32 above 0.
pub(super) const LEAST: f64 = 1.401_298_464_324_817e-45;
/// The least f32 that is not subnormal.
// An f32 in an f64 is exact.
pub(super) const LEAST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
