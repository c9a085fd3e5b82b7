//! Long lessons with random data and learning rates up to absurd ones: weights stay finite, steps that diverge are refused,
//! and devices do as the host does.

use std::time::Duration;

use firmware::archive;
use firmware::soak::{Lesson, STEPS, teach};
use host::device::firmware::{Content, build};
use host::device::{BuildError, DeviceError, Qemu, boards};
use host::export::AlignedBytes;
use host::ui::Ui;
use nn_core::ops::AllOps;
use tests::conformance::{Case, cases};
use tests::skip;

/// How long QEMU may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// The cases that learn: each operator and each optimizer, in f32 and Q16.
fn learning() -> Vec<Case> {
    let cases = cases().into_iter();
    cases.filter(|case| case.model().learns()).collect()
}

fn lesson(case: &Case, steps: u32) -> Lesson {
    let model = case.model();
    let mut arena = AlignedBytes::zeroed(model.arena_train());
    let outputs = 0..model.outputs().as_slice().len();
    let outputs = outputs.filter_map(|index| model.output(index));
    let mut room = vec![0.0; outputs.map(|output| output.elements()).sum()];
    teach::<AllOps>(&case.blob, arena.as_mut_slice(), &mut room, steps)
        .unwrap_or_else(|fault| panic!("{}: {fault:?}", case.name))
}

/// So many steps in all, over all cases.
fn soak(steps: usize) {
    let cases = learning();
    let each = steps.div_ceil(cases.len()) as u32;
    let (mut refused, mut ruined) = (0, Vec::new());
    for case in &cases {
        let lesson = lesson(case, each);
        refused += lesson.refused;
        if lesson.ruined > 0 {
            ruined.push(format!("{}: {lesson:?}", case.name));
        }
    }
    assert!(
        ruined.is_empty(),
        "weights are not finite:\n{}",
        ruined.join("\n")
    );
    println!(
        "{} cases, {each} steps each: {refused} refused",
        cases.len()
    );
    assert!(refused > 0, "no rate was absurd");
}

#[test]
fn weights_stay_finite() {
    soak(50_000);
}

#[test]
#[ignore = "a million steps"]
fn weights_stay_finite_for_a_million_steps() {
    soak(1_000_000);
}

/// Lessons of [`STEPS`] on emulated boards against those here.
fn compare(cases: &[Case], built_for: &str, emulators: &[&str]) {
    let ui = Ui::silent();
    let blobs: Vec<&[u8]> = cases.iter().map(|case| &*case.blob).collect();
    let mut bytes = Vec::new();
    archive::pack(&blobs, |piece| bytes.extend_from_slice(piece));
    let board = boards::named(built_for).unwrap();
    let image = match build(board, "soak", Content::Cases(&bytes), &ui) {
        Err(error @ BuildError::NoToolchain { .. }) => return skip(built_for, &error),
        image => image.unwrap_or_else(|error| panic!("{built_for}: {error}")),
    };
    let wanted: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(index, case)| {
            let lesson = lesson(case, STEPS);
            let Lesson {
                refused,
                resets,
                digest,
                ruined,
            } = lesson;
            format!("lesson {index} {digest:016x} {refused} {resets} {ruined}")
        })
        .collect();
    for emulator in emulators {
        let board = boards::named(emulator).unwrap();
        let log = match Qemu::run(board, &image, PATIENCE, &ui) {
            Err(error @ DeviceError::NoQemu { .. }) => return skip(emulator, &error),
            log => log.unwrap_or_else(|error| panic!("{emulator}: {error}")),
        };
        let lines = log
            .iter()
            .filter_map(|line| Some(&line[line.find("lesson ")?..]));
        let lines: Vec<&str> = lines.map(str::trim_end).collect();
        assert_eq!(lines.len(), wanted.len(), "{emulator}: {log:?}");
        for ((found, wanted), case) in lines.iter().zip(&wanted).zip(cases) {
            assert_eq!(found, wanted, "{emulator}, {}", case.name);
        }
        println!(
            "{emulator}: {} lessons of {STEPS} steps, as here",
            cases.len()
        );
    }
}

/// Every eighth case: some thousand steps.
#[test]
fn a_device_does_not_drift() {
    let cases: Vec<Case> = learning().into_iter().step_by(8).collect();
    compare(&cases, "an386", &["an386"]);
}

#[test]
#[ignore = "more than fifty thousand steps in QEMU"]
fn devices_do_not_drift_in_fifty_thousand_steps() {
    let cases = learning();
    assert!(
        cases.len() * STEPS as usize >= 50_000,
        "{} cases",
        cases.len()
    );
    compare(&cases, "an386", &["an386", "an500"]);
    compare(&cases, "an385", &["an385"]);
}
