//! A long lesson with random data and learning rates up to absurd ones: weights stay finite whatever is taught.
//!
//! Runs on a device and on a workstation, of which each must give the same numbers.

use nn_core::{
    conformance::{Draw, Fault},
    digest::Fnv1a,
    model::Model,
    ops::OpSet,
    train::{MAX_HEADS, Sgd, Target, TrainError, Trainer},
};

/// Steps of a lesson on a device.
pub const STEPS: u32 = 704;
/// Steps at one learning rate.
const BLOCK: u32 = 32;
/// So many refused steps on end, and the weights are the blob's again.
const PATIENCE: u32 = 24;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lesson {
    /// Steps that were refused as diverging.
    pub refused: u32,
    /// How often the weights went back to the blob's.
    pub resets: u32,
    /// FNV-1a 64 of each step's loss, prediction or refusal, and of the weights at the end of each block.
    pub digest: u64,
    /// The first step after which a weight was not finite, from 1; 0 where all were.
    pub ruined: u32,
}

/// Teaches the model of `blob`, which learns, so many steps in `arena`. `room` takes the targets: as many numbers as the
/// model has outputs.
///
/// # Errors
///
/// [`Fault`]; a step that diverges is none.
pub fn teach<K: OpSet>(
    blob: &[u8],
    arena: &mut [u8],
    room: &mut [f32],
    steps: u32,
) -> Result<Lesson, Fault> {
    let model = Model::load_with::<K>(blob).map_err(Fault::Load)?;
    let mut trainer = Trainer::with::<K>(model, arena);
    match &mut trainer {
        Ok(trainer) => teach_model(&model, trainer, room, steps),
        Err(error) => Err(Fault::SetUp(*error)),
    }
}

fn teach_model(
    model: &Model,
    trainer: &mut Trainer,
    room: &mut [f32],
    steps: u32,
) -> Result<Lesson, Fault> {
    let own = trainer.sgd();
    let (mut lesson, mut digest, mut draw) = (Lesson::default(), Fnv1a::new(), Draw::new());
    let mut on_end = 0;
    let mut scale = 1.0;
    for step in 0..steps {
        if step.is_multiple_of(BLOCK) {
            digest.update(&trainer.weights_digest().to_le_bytes());
            // 2^-16 to 2^112; every fourth block the plan's own. Every eighth the data are large, too.
            let learning_rate = match draw.below(4) {
                0 => own.learning_rate,
                _ => power(draw.below(128) as i32 - 16),
            };
            scale = match draw.below(8) {
                0 => power(draw.below(100) as i32),
                _ => 1.0,
            };
            let sgd = Sgd {
                learning_rate,
                ..own
            };
            trainer.set_sgd(sgd).map_err(Fault::Train)?;
        }
        for index in 0..model.inputs().as_slice().len() {
            let tensor = model.input(index).ok_or(Fault::Room)?;
            let input = trainer.input_mut(index).ok_or(Fault::Room)?;
            draw.fill(tensor.dtype, input);
            if tensor.dtype == nn_core::tensor::DType::F32 {
                for word in input.as_chunks_mut::<4>().0 {
                    *word = (f32::from_le_bytes(*word) * scale).to_le_bytes();
                }
            }
        }
        let mut targets = [Target::Class(0); MAX_HEADS];
        let heads = draw.targets(model, room, &mut targets)?;
        match trainer.step_heads(targets.get(..heads).ok_or(Fault::Room)?) {
            Ok(report) => {
                on_end = 0;
                digest.update(&report.loss.to_bits().to_le_bytes());
                digest.update(&report.prediction.to_le_bytes());
            }
            Err(TrainError::Diverged) => {
                (lesson.refused, on_end) = (lesson.refused + 1, on_end + 1);
                digest.update(b"refused");
                if on_end == PATIENCE {
                    trainer.reset();
                    (lesson.resets, on_end) = (lesson.resets + 1, 0);
                }
            }
            Err(error) => return Err(Fault::Train(error)),
        }
        if lesson.ruined == 0 && !trainer.weights_are_finite() {
            lesson.ruined = step + 1;
        }
    }
    digest.update(&trainer.weights_digest().to_le_bytes());
    lesson.digest = digest.finish();
    Ok(lesson)
}

/// 2 to the power of −126 to 127.
fn power(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}
