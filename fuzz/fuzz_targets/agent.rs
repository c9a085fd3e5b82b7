//! Any bytes on the line of an agent that serves a model: it answers, and serves the model afterwards, whatever came.
//!
//! The first byte says whether the bytes are taken as they are, or as messages that are framed here.
#![no_main]

mod line;
mod memory;

use std::{cell::RefCell, ops::Range, rc::Rc, sync::OnceLock};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use firmware::{
    agent::{Agent, End, Lap, Places, Site},
    flash::Mapped,
};
use libfuzzer_sys::fuzz_target;
use line::{Line, NoLight, Seeds, framed, seeds};
use memory::Aligned;
use nn_core::{
    conformance::self_test,
    link::{
        Bytes, Input, LabelBytes, Request, StackUse,
        agent::{AgentRequest, Tagged, Unit},
        encode,
        package::{MANIFEST_LEN, Manifest},
    },
    model::Model,
    ops::AllOps,
};
use sha2::{Digest, Sha512};

static BLOB: &[u8] = nn_core::include_model!("../../models/stock-rnn-f32.mote");

const PAGE: usize = 512;
const PLACES: Places = Places::in_turn(2048, 1024, 2048);
const LEN: usize = 2048 + 2 * 1024 + 2 * 2048;
/// Room for the model, and for others as small.
const RAM: usize = 16 * 1024;
const FRAME: usize = 2048;

fuzz_target!(init: seeds(write_seeds), |bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else {
        return;
    };
    let line = if how & 1 == 0 {
        bytes.to_vec()
    } else {
        framed(bytes)
    };
    let flash = serve(with_model(), &line);
    // What the flash holds now is good for a start: power may fail at any time.
    serve(&flash, &[]);
});

fn write_seeds(seeds: &mut Seeds) {
    let manifest = manifest();
    let bytes = [0, 0, 128, 63].repeat(10);
    let input = Input::Plain(Bytes(&bytes));
    let target = LabelBytes::Values(Bytes(&[0, 0, 0, 63]));
    for request in [
        AgentRequest::Info,
        AgentRequest::Slot { slot: 1 },
        AgentRequest::Begin {
            manifest: Bytes(&manifest),
        },
        AgentRequest::Chunk {
            offset: 0,
            bytes: Bytes(BLOB),
        },
        AgentRequest::Abort,
        AgentRequest::Activate,
        AgentRequest::Rollback,
        AgentRequest::Restore,
        AgentRequest::Profile { first: 0 },
        AgentRequest::Eval { input, target },
        AgentRequest::Status,
        AgentRequest::Commit {
            counter: 1,
            signature: Bytes(&[0; 64]),
        },
        AgentRequest::Restart,
    ] {
        seeds.request(&Tagged(&request));
    }
    for request in [
        Request::Infer { input },
        Request::Train { input, target },
        Request::Save,
        Request::Forget,
        Request::Reset,
        Request::Bye,
    ] {
        seeds.request(&request);
    }
}

/// That of the model's package.
fn manifest() -> [u8; MANIFEST_LEN] {
    let model = Model::load(BLOB).expect("the model is sound");
    let mut arena = Aligned::zeroed(model.arena_infer().max(model.arena_train()));
    let tested = self_test::<AllOps>(BLOB, &mut arena, &mut [0.0; 64], true);
    let tested = tested.expect("the model runs");
    let manifest = Manifest {
        blob_len: BLOB.len() as u32,
        blob_crc32: model.header().crc,
        version: 1,
        inference: tested.inference,
        training: tested.training,
        hash: Sha512::digest(BLOB).into(),
        ..Manifest::default()
    };
    manifest.encode()
}

/// An agent's flash in which the model is loaded and active.
fn with_model() -> &'static [u8] {
    static FLASH: OnceLock<Vec<u8>> = OnceLock::new();
    FLASH.get_or_init(|| {
        let manifest = manifest();
        let (manifest, bytes) = (Bytes(&manifest), Bytes(BLOB));
        let mut line = Vec::new();
        for (seq, request) in [
            AgentRequest::Begin { manifest },
            AgentRequest::Chunk { offset: 0, bytes },
            AgentRequest::Activate,
        ]
        .iter()
        .enumerate()
        {
            let sent = encode(seq as u8, &Tagged(request), |bytes| {
                line.extend_from_slice(bytes);
                Ok::<(), core::convert::Infallible>(())
            });
            sent.expect("a request is encoded");
        }
        let flash = serve(&[0xFF; LEN], &line);
        let slot = &flash[PLACES.slots[0].start as usize..];
        assert!(slot.windows(BLOB.len()).any(|part| part == BLOB));
        flash
    })
}

/// What the flash holds after an agent over it has answered all of `line`.
fn serve(holds: &[u8], line: &[u8]) -> Vec<u8> {
    let flash = Flash::holding(holds);
    let memory = flash.memory.clone();
    let flash = RefCell::new(flash);
    let site = Site {
        board: "fuzz",
        core: "host",
        clock: 0,
        places: PLACES,
        key: None,
        stack: || StackUse {
            size: 0,
            setup: 0,
            serve: 0,
        },
        ends: true,
    };
    let mut ram = Aligned::zeroed(RAM);
    let mut port = Line(line);
    // A restart ends serving, and the next start goes on with the line.
    for _ in 0..4 {
        let agent = Agent::<_, AllOps, _>::new(&flash, site.clone(), NoClock);
        let mut agent = agent.expect("the flash has the pages that it wants");
        let Ok(end) = agent.serve(&mut port, &mut NoLight, &mut [0; FRAME], &mut ram);
        if end == End::Closed {
            break;
        }
    }
    let holds = memory.borrow().to_vec();
    holds
}

struct NoClock;

impl Lap for NoClock {
    const UNIT: Unit = Unit::Cycles;

    fn lap(&mut self) -> u32 {
        0
    }
}

/// A NOR flash in memory: writing clears bits.
struct Flash {
    memory: Rc<RefCell<Aligned>>,
    first: *mut u8,
}

impl Flash {
    fn holding(bytes: &[u8]) -> Self {
        let mut memory = Aligned::from(bytes);
        let first = memory.as_mut_ptr();
        let memory = Rc::new(RefCell::new(memory));
        Flash { memory, first }
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: within the memory, as was checked.
            *byte = unsafe { self.first.add(offset as usize + index).read() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        LEN
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        // SAFETY: within the memory, as was checked.
        unsafe {
            self.first
                .add(from as usize)
                .write_bytes(0xFF, (to - from) as usize);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: within the memory, as was checked.
            unsafe {
                let place = self.first.add(offset as usize + index);
                place.write(place.read() & byte);
            }
        }
        Ok(())
    }
}

impl Mapped for Flash {
    unsafe fn bytes<'m>(&self, range: Range<u32>) -> Option<&'m [u8]> {
        let len = range.end.checked_sub(range.start)? as usize;
        if range.end as usize > LEN {
            return None;
        }
        // SAFETY: within the memory; the caller keeps it from being written.
        Some(unsafe {
            std::slice::from_raw_parts(self.first.add(range.start as usize).cast_const(), len)
        })
    }
}
