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
use nn_core::kernels::packed::Layout;
use nn_core::ops::Op;
use nn_core::tensor::DType;
use tests::conformance::{Case, cases};
use tests::skip;

/// Bytes of stack that a run may take, and a training step with its losses: all of it, below the function that asks
/// for it, with what the session, the trainer and the operator's kernels take.
const STACK: u32 = 1024;
/// Bytes that checking a blob, or dividing an arena and planning, may take.
const SETUP: u32 = 2816;
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
            Op::Lookup(_)
                | Op::Requantize(_)
                | Op::PackedDense(_)
                | Op::PackedConv2d(_)
                | Op::PackedLstm(_)
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

/// Runs `cases` in an image built for `built_for` on each of the emulators of `boards`; gives what is wrong.
fn compare(cases: &[Case], built_for: &str, emulators: &[&str]) -> Vec<String> {
    let ui = Ui::silent();
    let mut faults = Vec::new();
    let blobs: Vec<&[u8]> = cases.iter().map(|case| &*case.blob).collect();
    let mut bytes = Vec::new();
    archive::pack(&blobs, |piece| bytes.extend_from_slice(piece));
    let board = boards::named(built_for).expect("a board");
    let image = match build(board, "conformance", Content::Cases(&bytes), &ui) {
        Err(error @ BuildError::NoToolchain { .. }) => {
            skip(built_for, &error);
            return faults;
        }
        image => image.unwrap_or_else(|error| panic!("{built_for}: {error}")),
    };
    for emulator in emulators {
        let board = boards::named(emulator).expect("a board");
        let log = match Qemu::run(board, &image, PATIENCE, &ui) {
            Err(error @ DeviceError::NoQemu { .. }) => {
                skip(emulator, &error);
                return faults;
            }
            log => log.unwrap_or_else(|error| panic!("{emulator}: {error}")),
        };
        let lines: Vec<&String> = log.iter().filter(|line| line.contains("case ")).collect();
        assert_eq!(lines.len(), cases.len(), "{emulator}: {log:?}");
        for (case, line) in cases.iter().zip(lines) {
            let (name, found) = (&case.name, parse(line));
            let (inference, training, [setup, run, step]) =
                found.unwrap_or_else(|| panic!("{emulator}, {name}: {line}"));
            println!("{emulator:9} setup {setup:4} run {run:4} step {step:4}  {name}");
            let wanted = case.outcome();
            if (inference, training) != (wanted.inference, wanted.training) {
                faults.push(format!("{emulator}, {name}: other bits than here"));
            }
            if setup > SETUP || run > STACK || step > STACK {
                faults.push(format!(
                    "{emulator}, {name}: stack {setup} of setting up, {run} of a run, {step} of a step"
                ));
            }
        }
    }
    faults
}

fn assert_alike(cases: &[Case], built_for: &str, emulators: &[&str]) {
    let faults = compare(cases, built_for, emulators);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Names of modules and functions of nn-core, as they stand in an image's symbols.
const OPERATORS: [&str; 9] = [
    "5dense",
    "6conv2d",
    "max_pool2d",
    "9recurrent",
    "3rnn",
    "4lstm",
    "3gru",
    "batch_norm",
    "embedding",
];
const LEARNING: [&str; 6] = [
    "backward",
    "update",
    "trainer",
    "optimizer",
    "schedule",
    "criterion",
];

/// Holds an image of the blob to what is linked into it: of the operators above just those named in `parts`, what
/// learns only where it is to, and the functions that run operators forward, `forward`, each once: a second one would
/// be that of another number type.
fn assert_holds(content: Content<'_>, parts: &[&str], forward: &[&str]) {
    let board = boards::named("an385").expect("a board");
    let image = match build(board, "mnist", content, &Ui::silent()) {
        Err(error @ BuildError::NoToolchain { .. }) => return skip("an385", &error),
        image => image.expect("an image"),
    };
    let symbols = symbols(&image, board).expect("symbols");
    let own = symbols.iter().map(|(name, _)| name.as_str());
    let own = own.filter(|name| name.contains("7nn_core"));
    // A model that learns is decoded on the device, where any operator may come, to be refused.
    let own: Vec<&str> = own.filter(|name| !name.contains("11deserialize")).collect();
    let found = |name: &str| own.iter().find(|symbol| symbol.contains(name));
    for name in OPERATORS {
        let wanted = parts.contains(&name);
        assert_eq!(found(name).is_some(), wanted, "{name}: {:?}", found(name));
    }
    let learning: Vec<&str> = LEARNING
        .into_iter()
        .filter(|name| found(name).is_some())
        .collect();
    if matches!(content, Content::Inference(_)) {
        assert!(learning.is_empty(), "{learning:?}");
    } else {
        // What is small may be inlined.
        assert!(
            learning.starts_with(&["backward", "update", "trainer"]),
            "{learning:?}"
        );
    }
    // The length and then the name of a function end its path, before a hash.
    let runs = own
        .iter()
        .filter(|name| name.contains("4code7forward17h") || name.contains("6run_i817h"));
    let mut found: Vec<&str> = runs
        .filter_map(|name| name.split("3ops").nth(1)?.split("17h").next())
        .filter(|name| OPERATORS.iter().any(|operator| name.contains(operator)))
        .collect();
    found.sort_unstable();
    assert_eq!(found, forward);
}

fn model(name: &str) -> Vec<u8> {
    let path = format!("{}/../models/{name}.mote", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).expect(&path)
}

/// A model with a training plan, in an image that only runs it.
#[test]
fn an_image_of_dense_layers_holds_nothing_else() {
    let blob = model("mnist-mlp-head");
    assert_holds(
        Content::Inference(&blob),
        &["5dense"],
        &["5dense4code7forward", "5dense6run_i8"],
    );
}

#[test]
fn an_int8_image_of_convolutions_holds_no_other_number_type() {
    let blob = model("mnist-cnn-i8");
    let parts = ["5dense", "6conv2d", "max_pool2d"];
    let forward = ["10max_pool2d6run_i8", "5dense6run_i8", "6conv2d6run_i8"];
    assert_holds(Content::Inference(&blob), &parts, &forward);
}

/// An image that learns holds the optimizers, and still no other operator or number type.
#[test]
fn an_image_of_an_lstm_that_learns_holds_no_other_operator() {
    let cases = cases();
    let case = cases.iter().find(|case| case.name == "f32 Lstm");
    let case = case.expect("a case");
    let parts = ["5dense", "9recurrent", "4lstm"];
    let forward = ["4lstm4code7forward", "5dense4code7forward"];
    assert_holds(Content::Model(&case.blob), &parts, &forward);
}

/// The cases but those packed for kernels of other cores.
fn cases_for(known: Layout) -> Vec<Case> {
    let cases = cases().into_iter();
    let others = cases.filter(|case| {
        let layout = case.model().header().layout;
        layout == 0 || layout == known.number()
    });
    others.collect()
}

#[test]
fn all_cases_are_alike_on_a_cortex_m3() {
    assert_alike(&cases_for(Layout::Armv7m), "an385", &["an385"]);
}

/// The packed kernels against naive loops, on random layers: see the app `kernels`.
fn assert_kernels_are_right(built_for: &str, emulators: &[&str]) {
    let ui = Ui::silent();
    let board = boards::named(built_for).expect("a board");
    // Any model of the plain layout.
    let blob = model("mnist-mlp-i8");
    let image = match build(board, "kernels", Content::Inference(&blob), &ui) {
        Err(error @ BuildError::NoToolchain { .. }) => return skip(built_for, &error),
        image => image.expect("an image"),
    };
    for emulator in emulators {
        let board = boards::named(emulator).expect("a board");
        let log = match Qemu::run(board, &image, PATIENCE, &ui) {
            Err(error @ DeviceError::NoQemu { .. }) => return skip(emulator, &error),
            log => log.unwrap_or_else(|error| panic!("{emulator}: {error}")),
        };
        for (kernel, _) in firmware::trial::KERNELS {
            let wanted = format!("kernel {kernel} 500");
            let said = log.iter().any(|line| line.ends_with(&wanted));
            assert!(said, "{emulator}: {wanted} is not in {log:?}");
        }
    }
}

#[test]
fn packed_kernels_are_right_on_a_cortex_m4f_and_m7() {
    assert_kernels_are_right("an386", &["an386", "an500"]);
}

#[test]
fn packed_kernels_are_right_on_a_cortex_m55() {
    assert_kernels_are_right("an547", &["an547"]);
}

#[test]
fn packed_kernels_are_right_on_a_cortex_m3() {
    assert_kernels_are_right("an385", &["an385"]);
}

/// Smaller layers: its RAM is 16 KB.
#[test]
fn packed_kernels_are_right_on_a_cortex_m0() {
    assert_kernels_are_right("microbit", &["microbit"]);
}

/// One image for both: the same instruction set, and boards of the same make.
#[test]
fn all_cases_are_alike_on_a_cortex_m4f_and_m7() {
    assert_alike(&cases_for(Layout::Armv7em), "an386", &["an386", "an500"]);
}

#[test]
fn all_cases_are_alike_on_a_cortex_m55() {
    assert_alike(&cases_for(Layout::Armv7em), "an547", &["an547"]);
}

/// A case with what it takes of a board's RAM: the arena, and its targets.
fn ram(case: &Case) -> usize {
    let model = case.model();
    let outputs = 0..model.outputs().as_slice().len();
    let outputs = outputs.filter_map(|index| model.output(index));
    let targets: usize = outputs
        .map(|output| output.elements() * size_of::<f32>())
        .sum();
    model.arena_infer().max(model.arena_train()) + targets
}

/// Cases that a Cortex-M0 of 16 KB has no room for: the arena is larger than what the stack leaves.
const TOO_LARGE: &[&str] = &[];

/// In images by number format: code for all of them does not fit 256 KB of flash.
#[test]
fn cases_are_alike_on_a_cortex_m0() {
    let board = boards::named("microbit").expect("a board");
    // What an image holds in RAM besides: see the firmware's build script.
    const STATICS: usize = 1200;
    let room = (board.ram.len - board.stack) as usize - STATICS;
    let cases = cases_for(Layout::Armv7m).into_iter();
    let (fitting, large): (Vec<Case>, Vec<Case>) = cases.partition(|case| ram(case) <= room);
    for case in &large {
        let (bytes, flash) = (ram(case), case.blob.len());
        println!(
            "not run, {}: {bytes} bytes of RAM of {room}, blob {flash}",
            case.name
        );
    }
    let large: Vec<&str> = large.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(large, TOO_LARGE, "cases that do not fit the RAM");
    let has = |case: &Case, wanted: DType| {
        let operators = case.operators();
        operators.iter().any(|(_, dtype)| *dtype == wanted)
    };
    let mut images: [Vec<Case>; 4] = Default::default();
    for case in fitting {
        let formats = [DType::F32, DType::Q16, DType::I8].map(|dtype| has(&case, dtype));
        let image = match formats {
            [true, false, false] => 0,
            [false, true, false] => 1,
            [false, false, true] => 2,
            _ => 3,
        };
        images[image].push(case);
    }
    let faults = images.map(|cases| compare(&cases, "microbit", &["microbit"]));
    assert!(faults.concat().is_empty(), "{}", faults.concat().join("\n"));
}
