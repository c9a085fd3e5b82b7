//! What the whole-system tests share: networks to draw at random, and independent references to hold nn-core to.
//!
//! | module | what lives there |
//! |---|---|
//! | [`graph`] | graphs of any operators, built, run and trained |
//! | [`cases`] | the networks whose answers by libtorch are frozen |
//! | [`conformance`] | the cases in which devices are held to the host |
//! | [`random`] | a seeded generator |
//! | [`network`] | a chain of layers, drawn, written as a blob, run and trained |
//! | [`reference`] | the same chain in naive loops, in f64 for gradients and in f32 for the order of reductions |
//! | [`parts`] | small models in parts that can be broken |
//! | `torch` | libtorch runs a blob, and gives its gradient (feature `train`) |
//! | [`sequence`] | graphs with recurrent layers, and their reference |
//! | [`int8`] | the TensorFlow Lite int8 specification in wide integers |
//! | [`int8_operators`] | its operators of two inputs, means, slopes and log-softmax |
//! | [`int8_recurrent`] | int8 recurrent layers in wide integers |

pub mod cases;
pub mod conformance;
pub mod graph;
pub mod int8;
pub mod int8_operators;
pub mod int8_recurrent;
pub mod network;
pub mod parts;
pub mod random;
pub mod reference;
pub mod sequence;
#[cfg(feature = "train")]
pub mod torch;

/// Says that a test is skipped for want of a tool; in CI, where all tools are wanted, it fails.
pub fn skip(what: &str, error: &dyn std::fmt::Display) {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "{what}: {error}");
    println!("skipped, {what}: {error}");
}
