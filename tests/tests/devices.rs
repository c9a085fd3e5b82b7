//! The same bits on a workstation and on each emulated Cortex-M, for every operator and number format: inference and
//! twenty training steps; and the stack that runs and steps take is bounded.
//!
//! Where QEMU or a cross compiler is missing a test says so and passes; with CI=true it fails instead.

use std::time::Duration;

use firmware::archive;
use host::device::boards;
use host::device::firmware::{Content, build};
use host::device::{BuildError, DeviceError, Qemu};
use host::size::symbols;
use host::ui::Ui;
use nn_core::ops::Op;
use nn_core::tensor::DType;
use tests::conformance::{Case, cases};

/// Bytes of stack that a run may take, and a training step with its losses, below the function that asks for it.
const RUN: u32 = 1280;
const STEP: u32 = 2048;
/// Emulating all cases takes about a second.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn every_operator_has_a_case_in_every_format() {
    let found: Vec<(u8, DType)> = cases().iter().flat_map(Case::operators).collect();
    // A variant of `Op` decodes from its number and zeros; the first number that is none ends the list.
    let decode = |number| {
        postcard::take_from_bytes::<Op>(&[[number].as_slice(), &[0; 64]].concat()).map(|(op, _)| op)
    };
    let ops: Vec<Op> = (0..64).map_while(|number| decode(number).ok()).collect();
    assert!(ops.len() >= 19, "{} operators", ops.len());
    for op in ops {
        let number = op.number();
        let only_int8 = matches!(
            op,
            Op::Lookup(_) | Op::Requantize(_) | Op::PackedDense(_) | Op::PackedConv2d(_)
        );
        let no_int8 = matches!(
            op,
            Op::Activation(_) | Op::Rrelu(_) | Op::BatchNorm(_) | Op::Dropout(_)
        );
        for (dtype, there) in [
            (DType::F32, !only_int8),
            (DType::Q16, !only_int8),
            (DType::I8, !no_int8),
        ] {
            let (name, dtype_name) = (op.name(), dtype.name());
            let has = found.contains(&(number, dtype));
            assert_eq!(has, there, "{name} in {dtype_name}: a case? in the list?");
        }
    }
}

/// Of each case: that it learns something, where it has a plan.
#[test]
fn every_case_runs_here() {
    for case in cases() {
        let outcome = case.outcome();
        assert_eq!(outcome, case.outcome(), "{}: not the same twice", case.name);
        assert_eq!(
            outcome.training != 0,
            case.model().learns(),
            "{}",
            case.name
        );
    }
}

/// What a device said of a case: digests of inference and training, stack for setup, run, step.
type Line = (u64, u64, [u32; 3]);

fn parse(line: &str) -> Option<Line> {
    let (_, said) = line.split_once("case ")?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let [_, inference, training, stack @ ..] = words.as_slice() else {
        return None;
    };
    let digest = |word: &str| u64::from_str_radix(word, 16).ok();
    let stack: Vec<u32> = stack.iter().filter_map(|word| word.parse().ok()).collect();
    Some((
        digest(inference)?,
        digest(training)?,
        stack.try_into().ok()?,
    ))
}

/// Runs `cases` in an image built for `built_for` on each of the emulators of `boards`.
fn compare(cases: &[Case], built_for: &str, emulators: &[&str]) {
    let ui = Ui::silent();
    let blobs: Vec<&[u8]> = cases.iter().map(|case| &*case.blob).collect();
    let mut bytes = Vec::new();
    archive::pack(&blobs, |piece| bytes.extend_from_slice(piece));
    let board = boards::named(built_for).expect("a board");
    let image = match build(board, "conformance", Content::Cases(&bytes), &ui) {
        Err(error @ BuildError::NoToolchain { .. }) => return skip(built_for, &error),
        image => image.unwrap_or_else(|error| panic!("{built_for}: {error}")),
    };
    for emulator in emulators {
        let board = boards::named(emulator).expect("a board");
        let log = match Qemu::run(board, &image, PATIENCE, &ui) {
            Err(error @ DeviceError::NoQemu { .. }) => return skip(emulator, &error),
            log => log.unwrap_or_else(|error| panic!("{emulator}: {error}")),
        };
        let lines: Vec<&String> = log.iter().filter(|line| line.contains("case ")).collect();
        assert_eq!(lines.len(), cases.len(), "{emulator}: {log:?}");
        let mut faults = Vec::new();
        for (case, line) in cases.iter().zip(lines) {
            let found = parse(line);
            let (inference, training, [setup, run, step]) =
                found.unwrap_or_else(|| panic!("{emulator}, {}: {line}", case.name));
            println!(
                "{emulator:9} setup {setup:4} run {run:4} step {step:4}  {}",
                case.name
            );
            let wanted = case.outcome();
            if (inference, training) != (wanted.inference, wanted.training) {
                faults.push(format!("{emulator}, {}: other bits than here", case.name));
            }
            if run > RUN || step > STEP {
                let name = &case.name;
                faults.push(format!(
                    "{emulator}, {name}: stack {run}, when training {step}"
                ));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

/// A model of dense layers with a training plan, in an image that only runs it.
#[test]
fn an_image_holds_only_its_models_operators_and_learns_only_where_it_is_to() {
    let path = format!(
        "{}/../models/mnist-mlp-head.mote",
        env!("CARGO_MANIFEST_DIR")
    );
    let blob = std::fs::read(&path).expect(&path);
    let board = boards::named("an385").expect("a board");
    let image = match build(board, "mnist", Content::Inference(&blob), &Ui::silent()) {
        Err(error @ BuildError::NoToolchain { .. }) => return skip("an385", &error),
        image => image.expect("an image"),
    };
    let symbols = symbols(&image, board).expect("symbols");
    let named = |part: &str| {
        let mut found = symbols
            .iter()
            .filter(|(name, _)| name.contains("nn_core") && name.contains(part));
        found.next().map(|(name, _)| name.clone())
    };
    assert_ne!(
        named("dense"),
        None,
        "no symbol of the operator that is there"
    );
    for part in [
        "conv2d",
        "pool2d",
        "recurrent",
        "3rnn",
        "lstm",
        "3gru",
        "batch_norm",
        "embedding",
        "backward",
        "update",
        "trainer",
        "optimizer",
        "schedule",
        "criterion",
    ] {
        assert_eq!(named(part), None, "{part}");
    }
}

fn skip(what: &str, error: &dyn std::fmt::Display) {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "{what}: {error}");
    println!("skipped, {what}: {error}");
}

#[test]
fn all_cases_are_alike_on_a_cortex_m3() {
    compare(&cases(), "an385", &["an385"]);
}

/// One image for both: the same instruction set, and boards of the same make.
#[test]
fn all_cases_are_alike_on_a_cortex_m4f_and_m7() {
    compare(&cases(), "an386", &["an386", "an500"]);
}
