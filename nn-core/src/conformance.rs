//! Holds a device to the host: both run this very code on the same blobs, and compare digests.
//!
//! A case is a blob. Its inputs are drawn at random, from the same seed everywhere; it runs several times, so that
//! what recurrent layers keep shows, and where it has a training plan it takes training steps towards random targets.

use crate::{
    SetupError,
    digest::Fnv1a,
    model::{LoadError, Model},
    ops::OpSet,
    session::{RunError, Session},
    tensor::DType,
    train::{Loss, MAX_HEADS, StepReport, Target, TrainError, Trainer},
};

/// Runs of each case, before and after it is trained.
pub const RUNS: usize = 3;
/// Training steps of each case.
pub const STEPS: usize = 20;
/// Ids of an input of 32-bit integers lie below this.
pub const IDS: u32 = 4;

/// What came of a case. Equal everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Digest of all outputs of all runs.
    pub inference: u64,
    /// Digest of losses, predictions and weights, and of the outputs after training; 0 where nothing learns.
    pub training: u64,
}

/// The most stack that the parts of a case took, in bytes; 0 where it is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stack {
    /// To check the blob and to plan.
    pub setup: u32,
    /// A run.
    pub run: u32,
    /// A training step.
    pub step: u32,
}

/// Why a case fails.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Fault {
    /// The blob is refused.
    Load(LoadError),
    /// The arena is refused.
    SetUp(SetupError),
    /// A run fails.
    Run(RunError),
    /// A step fails.
    Train(TrainError),
    /// The model has not the inputs and outputs that it names, or there is too little room for targets.
    Room,
}

/// Measures stack.
pub trait Meter {
    /// Begins.
    fn start(&mut self);
    /// The most bytes used since, below the caller's frame.
    fn stop(&mut self) -> u32;
}

/// Measures nothing.
#[derive(Debug)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn start(&mut self) {}

    fn stop(&mut self) -> u32 {
        0
    }
}

/// Runs a case in `arena`. `room` takes the targets: as many numbers as the model has outputs.
///
/// # Errors
///
/// The first [`Fault`].
pub fn check<K: OpSet>(
    blob: &[u8],
    arena: &mut [u8],
    room: &mut [f32],
    meter: &mut impl Meter,
) -> Result<(Outcome, Stack), Fault> {
    let mut stack = Stack::default();
    let mut draw = Draw::new();
    meter.start();
    let model = load::<K>(blob);
    stack.setup = meter.stop();
    let model = model?;
    let mut inference = Fnv1a::new();
    infer::<K>(model, arena, &mut draw, &mut inference, &mut stack, meter)?;
    let mut training = 0;
    if K::TRAIN && model.learns() {
        let mut digest = Fnv1a::new();
        learn::<K>(
            model,
            arena,
            room,
            &mut draw,
            &mut digest,
            &mut stack,
            meter,
        )?;
        training = digest.finish();
    }
    let inference = inference.finish();
    Ok((
        Outcome {
            inference,
            training,
        },
        stack,
    ))
}

/// As [`check`]; training steps are taken only where `trains`, and no stack is measured. What a package carries, so that a
/// device can show that it computes what the host did.
///
/// # Errors
///
/// The first [`Fault`].
pub fn self_test<K: OpSet>(
    blob: &[u8],
    arena: &mut [u8],
    room: &mut [f32],
    trains: bool,
) -> Result<Outcome, Fault> {
    let model = load::<K>(blob)?;
    let mut draw = Draw::new();
    let (mut stack, mut meter) = (Stack::default(), NoMeter);
    let (mut inference, mut training) = (Fnv1a::new(), Fnv1a::new());
    infer::<K>(
        model,
        arena,
        &mut draw,
        &mut inference,
        &mut stack,
        &mut meter,
    )?;
    let learns = trains && K::TRAIN && model.learns();
    if learns {
        learn::<K>(
            model,
            arena,
            room,
            &mut draw,
            &mut training,
            &mut stack,
            &mut meter,
        )?;
    }
    Ok(Outcome {
        inference: inference.finish(),
        training: if learns { training.finish() } else { 0 },
    })
}

#[inline(never)]
fn load<K: OpSet>(blob: &[u8]) -> Result<Model<'_>, Fault> {
    Model::load_with::<K>(blob).map_err(Fault::Load)
}

#[inline(never)]
fn infer<K: OpSet>(
    model: Model,
    arena: &mut [u8],
    draw: &mut Draw,
    digest: &mut Fnv1a,
    stack: &mut Stack,
    meter: &mut impl Meter,
) -> Result<(), Fault> {
    meter.start();
    let mut session = Session::with::<K>(model, arena);
    stack.setup = stack.setup.max(meter.stop());
    // In its place: a copy would take as much stack again.
    let session = match &mut session {
        Ok(session) => session,
        Err(error) => return Err(Fault::SetUp(*error)),
    };
    for _ in 0..RUNS {
        for index in 0..model.inputs().as_slice().len() {
            let tensor = model.input(index).ok_or(Fault::Room)?;
            draw.fill(tensor.dtype, session.input_mut(index).ok_or(Fault::Room)?);
        }
        meter.start();
        let ran = run(session);
        stack.run = stack.run.max(meter.stop());
        ran.map_err(Fault::Run)?;
        for index in 0..model.outputs().as_slice().len() {
            digest.update(session.output(index).ok_or(Fault::Room)?);
        }
    }
    Ok(())
}

/// A run, with all of its stack below the caller.
#[inline(never)]
fn run(session: &mut Session) -> Result<(), RunError> {
    session.run()
}

/// A training step, with all of its stack below the caller.
#[inline(never)]
fn learn_from(trainer: &mut Trainer, targets: &[Target]) -> Result<StepReport, TrainError> {
    trainer.step_heads(targets)
}

#[inline(never)]
fn learn<K: OpSet>(
    model: Model,
    arena: &mut [u8],
    room: &mut [f32],
    draw: &mut Draw,
    digest: &mut Fnv1a,
    stack: &mut Stack,
    meter: &mut impl Meter,
) -> Result<(), Fault> {
    meter.start();
    let mut trainer = Trainer::with::<K>(model, arena);
    stack.setup = stack.setup.max(meter.stop());
    let trainer = match &mut trainer {
        Ok(trainer) => trainer,
        Err(error) => return Err(Fault::SetUp(*error)),
    };
    for step in 0..STEPS + RUNS {
        for index in 0..model.inputs().as_slice().len() {
            let tensor = model.input(index).ok_or(Fault::Room)?;
            draw.fill(tensor.dtype, trainer.input_mut(index).ok_or(Fault::Room)?);
        }
        if step < STEPS {
            let mut targets = [Target::Class(0); MAX_HEADS];
            let heads = draw.targets(&model, room, &mut targets)?;
            let targets = targets.get(..heads).ok_or(Fault::Room)?;
            meter.start();
            let report = learn_from(trainer, targets);
            stack.step = stack.step.max(meter.stop());
            let report = report.map_err(Fault::Train)?;
            digest.update(&report.loss.to_bits().to_le_bytes());
            digest.update(&report.prediction.to_le_bytes());
        } else {
            trainer.run().map_err(Fault::Run)?;
            for index in 0..model.outputs().as_slice().len() {
                digest.update(trainer.output(index).ok_or(Fault::Room)?);
            }
        }
    }
    digest.update(&trainer.weights_digest().to_le_bytes());
    Ok(())
}

/// Random numbers: Marsaglia's xorshift of 32 bits.
#[derive(Debug)]
pub struct Draw(u32);

impl Draw {
    /// The same from the start, everywhere.
    #[expect(clippy::new_without_default, reason = "it is no value to start from")]
    pub fn new() -> Self {
        Self(0x2545_F491)
    }

    fn bits(&mut self) -> u32 {
        let mut x = self.0;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.0 = x;
        // The low bits alone are too regular.
        x.wrapping_mul(0x9E37_79B1) >> 3
    }

    /// A whole number below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.bits() % limit.max(1)
    }

    /// In −1 to 1; exact in f32, and in Q16 after rounding.
    fn number(&mut self) -> f32 {
        // 16 bits and a sign.
        (self.bits() & 0x1_FFFF) as f32 / 65536.0 - 1.0
    }

    /// The bytes of a tensor: real numbers in ±1, any int8, ids below [`IDS`].
    pub fn fill(&mut self, dtype: DType, bytes: &mut [u8]) {
        if dtype == DType::I8 {
            for byte in bytes {
                // Any eight bits.
                *byte = self.bits() as u8;
            }
            return;
        }
        for word in bytes.as_chunks_mut::<4>().0 {
            *word = match dtype {
                // Every fifth is 0: what is skipped for it must not show.
                DType::F32 if self.bits().is_multiple_of(5) => [0; 4],
                DType::F32 => self.number().to_le_bytes(),
                // 17 bits are no more than 2.
                DType::Q16 => ((self.bits() & 0x1_FFFF) as i32 - 0x1_0000).to_le_bytes(),
                _ => (self.bits() % IDS).to_le_bytes(),
            };
        }
    }

    /// As [`fill`](Self::fill), but of 100 real numbers about so many are not 0.
    pub fn fill_share(&mut self, dtype: DType, percent: u32, bytes: &mut [u8]) {
        self.fill(dtype, bytes);
        if !matches!(dtype, DType::F32 | DType::Q16) {
            return;
        }
        for word in bytes.as_chunks_mut::<4>().0 {
            // 17 bits are no more than 2; the lowest bit keeps them from 0.
            let bits = self.bits() & 0x1_FFFF | 1;
            *word = match dtype {
                _ if self.bits() % 100 >= percent => [0; 4],
                DType::F32 => (bits as f32 / 65536.0 - 1.0).to_le_bytes(),
                _ => (bits as i32 - 0x1_0000).to_le_bytes(),
            };
        }
    }

    /// A target for each head, in `room`; gives how many.
    ///
    /// # Errors
    ///
    /// [`Fault::Room`]: too little room.
    #[inline(never)]
    pub fn targets<'t>(
        &mut self,
        model: &Model,
        mut room: &'t mut [f32],
        targets: &mut [Target<'t>],
    ) -> Result<usize, Fault> {
        let spec = model.train_spec().ok_or(Fault::Room)?;
        for (head, target) in spec.heads.as_slice().iter().zip(targets) {
            let output = model.output(head.output.into()).ok_or(Fault::Room)?;
            let (own, rest) = room
                .split_at_mut_checked(output.elements())
                .ok_or(Fault::Room)?;
            room = rest;
            let last = output.shape.dims().last().copied().unwrap_or(1).max(1);
            *target = if head.loss == Loss::CrossEntropy {
                let steps = output.elements() / last as usize;
                let classes = bytemuck::try_cast_slice_mut::<f32, u16>(own);
                let classes = classes.map_err(|_| Fault::Room)?;
                let classes = classes.get_mut(..steps).ok_or(Fault::Room)?;
                for class in classes.iter_mut() {
                    // Below the number of classes, which are few.
                    *class = (self.bits() % last) as u16;
                }
                match classes {
                    [class] if output.shape.rank() == 1 => Target::Class(*class),
                    classes => Target::Classes(classes),
                }
            } else {
                for value in own.iter_mut() {
                    *value = match head.loss {
                        Loss::BinaryCrossEntropy => f32::from(self.bits() & 1 == 1),
                        _ => self.number(),
                    };
                }
                Target::Values(own)
            };
        }
        Ok(spec.heads.len())
    }
}
