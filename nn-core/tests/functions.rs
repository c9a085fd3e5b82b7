//! Every function of every number format against f64, over all inputs.
//!
//! By default each function walks about a million inputs at a prime stride, the special values among them. Over all
//! 2³² inputs, half a minute of one core for a function of f32, some minutes for one of Q16, one after the other:
//!
//! ```text
//! cargo test -p nn-core --release --test functions -- --ignored --nocapture --test-threads 1
//! ```

#[path = "functions/fixed_point.rs"]
mod fixed_point;
#[path = "functions/float.rs"]
mod float;
#[path = "functions/walk.rs"]
mod walk;
