//! libtorch's answers, frozen: for a machine without libtorch. `libtorch.rs` holds the file to libtorch itself.

use serde::{Deserialize, Serialize};
use tests::cases::{Answer, frozen};

#[derive(Debug, Serialize, Deserialize)]
struct Golden {
    name: String,
    output: Vec<f32>,
    loss: f32,
    gradient: Vec<f32>,
}

#[test]
fn outputs_losses_and_gradients() {
    // Made by: MOTE_BLESS=1 cargo test -p tests --test libtorch
    let text = include_str!("../golden/libtorch.json");
    let golden: Vec<Golden> = serde_json::from_str(text).expect("its form");
    let cases = frozen();
    assert_eq!(golden.len(), cases.len());
    for (case, golden) in cases.iter().zip(golden) {
        assert_eq!(case.name, golden.name);
        assert!(golden.gradient.iter().any(|&g| g.abs() > 0.01));
        case.hold_to(&Answer {
            output: golden.output,
            loss: golden.loss,
            gradient: golden.gradient,
        });
    }
}
