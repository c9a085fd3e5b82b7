//! What goes into an agent: packages, and weights.

use nn_core::{
    link::{
        Bytes, ErrorCode,
        agent::{AgentError, AgentRequest, AgentResponse, Delta},
        package::Manifest,
    },
    model::Model,
};

use super::{Agent, Loading};
use crate::{
    device::{Device, DeviceError, Port, line::Effort},
    package::{Key, Package, sha512},
};

/// Bytes of a frame with a chunk that are not the chunk, at most: number, tag, variant, offset, length, CRC-32.
const CHUNK_OVERHEAD: usize = 1 + 1 + 1 + 5 + 5 + 4;
/// Chunks are whole words of any flash.
const WORD: usize = 16;
/// The longest chunk: more would make a repetition dear, and few agents take longer frames.
const CHUNK_MAX: usize = 1024;
/// How often in a row a transfer may be told to go on elsewhere without coming further.
const STUCK: usize = 3;

impl<P: Port> Agent<P> {
    /// Begins to load the package of this manifest, or goes on with it.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn begin(&mut self, manifest: &Manifest) -> Result<Loading, DeviceError> {
        self.begin_raw(&manifest.encode())
    }

    /// The same with bytes that may be no manifest.
    pub(in crate::device) fn begin_raw(&mut self, manifest: &[u8]) -> Result<Loading, DeviceError> {
        let manifest = Bytes(manifest);
        self.ask_loading(&AgentRequest::Begin { manifest })
    }

    /// Sends a piece of the blob.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn chunk(&mut self, offset: u32, bytes: &[u8]) -> Result<Loading, DeviceError> {
        let bytes = Bytes(bytes);
        self.ask_loading(&AgentRequest::Chunk { offset, bytes })
    }

    /// Gives up what was begun.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn abort(&mut self) -> Result<(), DeviceError> {
        self.done(&AgentRequest::Abort, Effort::Flash)
    }

    /// Bytes of the longest chunk that the agent takes.
    pub fn chunk_len(&self) -> usize {
        let room = (self.info.frame_max as usize).saturating_sub(CHUNK_OVERHEAD);
        (room.min(CHUNK_MAX) / WORD * WORD).max(WORD)
    }

    /// Loads `package` into the slot that is not active, from where an earlier transfer of it stands. `progress` sees each
    /// answer.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]; called again, it goes on.
    pub fn load(
        &mut self,
        package: &Package,
        progress: impl FnMut(Loading),
    ) -> Result<Loading, DeviceError> {
        self.load_in(package, self.chunk_len(), progress)
    }

    /// The same in chunks of so many bytes.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_in(
        &mut self,
        package: &Package,
        chunk_len: usize,
        mut progress: impl FnMut(Loading),
    ) -> Result<Loading, DeviceError> {
        let blob = package.blob.bytes();
        let mut loading = self.begin(&package.manifest)?;
        let mut stuck = 0;
        progress(loading);
        while let Some(rest) = blob
            .get(loading.offset as usize..)
            .filter(|rest| !rest.is_empty())
        {
            let before = loading.offset;
            let piece = &rest[..rest.len().min(chunk_len)];
            match self.chunk(before, piece) {
                Ok(next) => loading = next,
                // It stands elsewhere than its last answer said.
                Err(DeviceError::Agent(AgentError::Offset { wanted, .. })) => {
                    loading.offset = wanted;
                }
                Err(error) => return Err(error),
            }
            stuck = if loading.offset > before {
                0
            } else {
                stuck + 1
            };
            if stuck > STUCK {
                let place = self.line.port.name();
                return Err(DeviceError::Answer { place });
            }
            progress(loading);
        }
        Ok(loading)
    }

    /// Signs the weights that were written just now, which a locked agent wants.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]; an agent that refuses goes back to the weights before.
    pub fn commit(&mut self, delta: &Delta, key: &Key) -> Result<(), DeviceError> {
        let signature = key.sign(&delta.signed());
        let request = AgentRequest::Commit {
            counter: delta.counter,
            signature: Bytes(&signature),
        };
        self.done(&request, Effort::Flash)
    }

    /// Writes all that is learnt by the active model, and signs it where the agent wants that.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]; [`ErrorCode::Uncommitted`] of a locked agent where there is no key.
    pub fn write_weights(
        &mut self,
        model: &Model<'_>,
        weights: &[u8],
        key: Option<&Key>,
    ) -> Result<(), DeviceError> {
        let locked = self.info.key != 0;
        let key = match (locked, key) {
            (true, None) => return Err(DeviceError::Refused(ErrorCode::Uncommitted)),
            (locked, key) => key.filter(|_| locked),
        };
        let mut counter = 1;
        loop {
            self.device(model)?.write_weights(weights)?;
            let Some(key) = key else { return Ok(()) };
            let delta = Delta {
                model_crc32: model.header().crc,
                counter,
                hash: sha512(weights),
            };
            match self.commit(&delta, key) {
                // Where the counter stands, an agent says by refusing.
                Err(DeviceError::Agent(AgentError::Counter { wanted, .. })) if wanted > counter => {
                    counter = wanted;
                }
                result => return result,
            }
        }
    }

    fn ask_loading(&mut self, request: &AgentRequest<'_>) -> Result<Loading, DeviceError> {
        self.ask(request, Effort::Flash, |answer| match answer {
            AgentResponse::Loading { slot, offset, len } => Some(Loading { slot, offset, len }),
            _ => None,
        })
    }
}
