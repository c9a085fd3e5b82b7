//! What an image does with its model: run it, or run it and learn.
//!
//! Which of the two is chosen when the image is built, so that one that only infers holds no code that learns.

use nn_core::{
    SetupError,
    link::ErrorCode,
    model::Model,
    ops::OpSet,
    session::{RunError, Session},
    train::Trainer,
};

/// A model in an arena.
pub trait Engine<'a>: Sized {
    /// Sets `model` up in `arena`, with the kernels of `K`.
    ///
    /// # Errors
    ///
    /// When the arena is too small or not aligned to 16 bytes, or the model wants what `K` has not.
    fn set_up<K: OpSet>(model: Model<'a>, arena: &'a mut [u8]) -> Result<Self, SetupError>;

    /// The model.
    fn model(&self) -> Model<'a>;

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

impl<'a> Engine<'a> for Session<'a> {
    fn set_up<K: OpSet>(model: Model<'a>, arena: &'a mut [u8]) -> Result<Self, SetupError> {
        Session::with::<K>(model, arena)
    }

    fn model(&self) -> Model<'a> {
        self.model()
    }

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
    fn set_up<K: OpSet>(model: Model<'a>, arena: &'a mut [u8]) -> Result<Self, SetupError> {
        Trainer::with::<K>(model, arena)
    }

    fn model(&self) -> Model<'a> {
        self.model()
    }

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
