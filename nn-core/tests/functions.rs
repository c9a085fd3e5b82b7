//! Every function of every number format against f64, over all inputs.
//!
//! By default each function walks about a million inputs at a prime stride, the special values among them. Over all
//! 2³² inputs, some minutes a function on two cores, one after the other:
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
