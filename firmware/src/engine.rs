//! What an image does with its model: run it, or run it and learn.
//!
//! Which of the two is chosen when the image is built, so that one that only infers holds no code that learns. Either was
//! planned then, and holds no code that plans.

use nn_core::{
    link::ErrorCode,
    model::{LoadError, Model},
    ops::OpSet,
    program::{ProgramError, Runner, TrainProgram},
    session::{RunError, Session},
    train::Trainer,
};

/// A model in an arena.
pub trait Engine<'a>: Sized {
    /// Whether it learns: the server of one that does not holds no code for it.
    const TRAINS: bool;

    /// The bytes of its input 0.
    fn input_mut(&mut self) -> Option<&mut [u8]>;

    /// Runs it.
    ///
    /// # Errors
    ///
    /// As [`Session::run`].
    fn run(&mut self) -> Result<(), RunError>;

    /// The bytes of its output 0.
    fn output(&self) -> Option<&[u8]>;

    /// What learns.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NoTrainPlan`] where nothing does.
    fn trainer(&mut self) -> Result<&mut Trainer<'a>, ErrorCode>;
}

/// Why an image cannot set up a model that learns.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub enum Fault {
    /// The blob in flash is damaged.
    Load(LoadError),
    /// The arena is too small or not aligned, or the blob is another than the program's.
    SetUp(ProgramError),
}

/// The trainer of the blob by its `program`, in `arena`, with the kernels of `K`.
///
/// # Errors
///
/// [`Fault::Load`], [`Fault::SetUp`].
#[inline(never)]
pub fn trainer<'a, K: OpSet>(
    blob: &'a [u8],
    program: &'a TrainProgram<'a>,
    arena: &'a mut [u8],
) -> Result<Trainer<'a>, Fault> {
    let model = Model::load_with::<K>(blob).map_err(Fault::Load)?;
    Trainer::planned(model, program, arena).map_err(Fault::SetUp)
}

impl<'a> Engine<'a> for Runner<'a> {
    const TRAINS: bool = false;

    fn input_mut(&mut self) -> Option<&mut [u8]> {
        self.input_mut(0)
    }

    fn run(&mut self) -> Result<(), RunError> {
        self.run()
    }

    fn output(&self) -> Option<&[u8]> {
        self.output(0)
    }

    #[inline]
    fn trainer(&mut self) -> Result<&mut Trainer<'a>, ErrorCode> {
        Err(ErrorCode::NoTrainPlan)
    }
}

impl<'a> Engine<'a> for Session<'a> {
    const TRAINS: bool = false;

    fn input_mut(&mut self) -> Option<&mut [u8]> {
        self.input_mut(0)
    }

    fn run(&mut self) -> Result<(), RunError> {
        self.run()
    }

    fn output(&self) -> Option<&[u8]> {
        self.output(0)
    }

    #[inline]
    fn trainer(&mut self) -> Result<&mut Trainer<'a>, ErrorCode> {
        Err(ErrorCode::NoTrainPlan)
    }
}

impl<'a> Engine<'a> for Trainer<'a> {
    const TRAINS: bool = true;

    fn input_mut(&mut self) -> Option<&mut [u8]> {
        self.input_mut(0)
    }

    fn run(&mut self) -> Result<(), RunError> {
        self.run()
    }

    fn output(&self) -> Option<&[u8]> {
        self.output(0)
    }

    fn trainer(&mut self) -> Result<&mut Trainer<'a>, ErrorCode> {
        Ok(self)
    }
}
