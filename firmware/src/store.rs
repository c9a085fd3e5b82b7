//! What a device has learnt, kept in its flash: a delta against the blob, which outlasts a loss of power.
//!
//! It is the parts of the learnt weights that differ from the blob's, in a map of `sequential-storage`, which wears the
//! flash evenly and checks each item. A record names the generation that counts, the blob that it belongs to, and the
//! digest of all weights. A new generation is written beside the one that counts, under other keys; then the record is
//! replaced, which is one item: power that fails at any moment leaves the old state or the new one.

use core::ops::Range;

use embedded_storage::nor_flash as blocking;
use nn_core::{
    link::{ErrorCode, StoreReport, StoreState},
    train::Trainer,
};
use sequential_storage::{
    Error,
    cache::{Cache, Uncached},
    map::{MapConfig, MapStorage},
};

use crate::flash::{Blocking, block_on};

/// Bytes of weights in an item.
const PART: usize = 128;
/// Before them: the generation, and the byte of the weights where they begin.
const HEAD: usize = 8;
/// An item with its key, in whole words of any flash.
const ITEM: usize = (2 + HEAD + PART).next_multiple_of(32);
/// The key of the record. The parts have those below, and those from `SECOND` on, in turn.
const RECORD: u16 = u16::MAX;
const SECOND: u16 = 1 << 15;

/// What the record holds, as words.
const WORDS: usize = 5;

/// The state that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    generation: u32,
    /// CRC-32 of the blob; 0 where nothing is kept.
    model: u32,
    /// Bytes of the learnt weights.
    len: u32,
    digest: u64,
}

impl Record {
    fn words(self) -> [u32; WORDS] {
        let Self {
            generation,
            model,
            len,
            digest,
        } = self;
        // The digest's lower half, then its upper one.
        [generation, model, len, digest as u32, (digest >> 32) as u32]
    }

    fn from_words([generation, model, len, low, high]: [u32; WORDS]) -> Self {
        Self {
            generation,
            model,
            len,
            digest: u64::from(high) << 32 | u64::from(low),
        }
    }
}

/// The weights of one model in a range of a flash.
pub struct Store<F: blocking::NorFlash> {
    map: MapStorage<u16, Blocking<F>, Cache<Uncached, Uncached, Uncached, u16>>,
    buffer: Buffer,
    model: u32,
    capacity: u32,
    state: StoreState,
    record: Option<Record>,
}

/// Some flashes want words.
#[repr(align(8))]
struct Buffer([u8; ITEM]);

/// A store of whatever flash, for the server.
pub trait Keep {
    /// Keeps what `trainer` has learnt.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreFull`], [`ErrorCode::StoreFailed`]: what was kept before still is.
    fn save(&mut self, trainer: &Trainer<'_>) -> Result<StoreReport, ErrorCode>;

    /// Keeps nothing any more: at the next start the weights are the blob's.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    fn forget(&mut self) -> Result<StoreReport, ErrorCode>;

    /// What is kept.
    fn report(&self) -> StoreReport;
}

impl<F: blocking::NorFlash> Store<F> {
    /// A store in `range` of `flash`, whole pages, at least two, for the model of this CRC-32; none where the range is not
    /// that.
    pub fn new(flash: F, range: Range<u32>, model: u32) -> Option<Self> {
        let capacity = range.end.saturating_sub(range.start);
        let config = MapConfig::try_new(range).ok()?;
        Some(Self {
            map: MapStorage::new(Blocking(flash), config, Cache::new_uncached()),
            buffer: Buffer([0; ITEM]),
            model,
            capacity,
            state: StoreState::Empty,
            record: None,
        })
    }

    /// The flash again.
    pub fn into_flash(self) -> F {
        self.map.destroy().0.0
    }

    /// At the start: puts what is kept for this model into `trainer`, which holds the blob's weights.
    ///
    /// Where it belongs to another model, or is damaged, the weights stay the blob's, and the report says so.
    pub fn restore(&mut self, trainer: &mut Trainer<'_>) -> StoreReport {
        self.state = match self.try_restore(trainer) {
            Ok(state) => state,
            Err(_) => StoreState::Damaged,
        };
        if self.state == StoreState::Damaged {
            // Some parts may have been written.
            trainer.reset();
        }
        self.report()
    }

    /// Keeps nothing for this model any more; what another one has learnt stays.
    ///
    /// # Errors
    ///
    /// As [`forget`](Keep::forget).
    pub fn discard(&mut self) -> Result<(), ErrorCode> {
        let Self { map, buffer, .. } = self;
        let words = block_on(map.fetch_item::<[u32; WORDS]>(&mut buffer.0, &RECORD));
        self.record = words.ok().flatten().map(Record::from_words);
        match self.record {
            Some(record) if record.model == self.model => self.forget().map(|_| ()),
            _ => Ok(()),
        }
    }

    fn try_restore(&mut self, trainer: &mut Trainer<'_>) -> Result<StoreState, Error<F::Error>> {
        let Self { map, buffer, .. } = self;
        let words = block_on(map.fetch_item::<[u32; WORDS]>(&mut buffer.0, &RECORD))?;
        self.record = words.map(Record::from_words);
        let Some(record) = self.record.filter(|record| record.model != 0) else {
            return Ok(StoreState::Empty);
        };
        if record.model != self.model || record.len as usize != trainer.weights().len() {
            return Ok(StoreState::OtherModel);
        }
        let mut written = true;
        self.each_part(|generation, at, part| {
            if generation == record.generation {
                written &= trainer.write_weights(at as usize, part).is_ok();
            }
        })?;
        if written && trainer.weights_digest() == record.digest {
            Ok(StoreState::Kept)
        } else {
            Ok(StoreState::Damaged)
        }
    }

    /// Shows `visit` all parts in the flash, those that no longer count, too: generation, where, bytes.
    fn each_part(&mut self, mut visit: impl FnMut(u32, u32, &[u8])) -> Result<(), Error<F::Error>> {
        let Self { map, buffer, .. } = self;
        block_on(async {
            let mut items = map.fetch_all_items(&mut buffer.0).await?;
            while let Some((key, value)) = items.next::<&[u8]>(&mut buffer.0).await? {
                let Some((head, part)) = value.split_first_chunk::<HEAD>() else {
                    continue;
                };
                if key != RECORD {
                    let [a, b, c, d, rest @ ..] = *head;
                    let generation = u32::from_le_bytes([a, b, c, d]);
                    visit(generation, u32::from_le_bytes(rest), part);
                }
            }
            Ok(())
        })
    }

    fn try_save(&mut self, trainer: &Trainer<'_>) -> Result<(), Error<F::Error>> {
        // A generation that no part has: not that of a save that power cut short, either.
        let mut last = self.record.map_or(0, |record| record.generation);
        self.each_part(|generation, _, _| last = last.max(generation))?;
        let mut generation = last.wrapping_add(1);
        // The keys of the generation that counts stay its own.
        let counts = self.record.filter(|record| record.model != 0);
        if counts.is_some_and(|record| record.generation & 1 == generation & 1) {
            generation = generation.wrapping_add(1);
        }
        let first_key = if generation & 1 == 0 { 0 } else { SECOND };
        for (index, (at, part)) in trainer.changes(PART).enumerate() {
            let mut value = [0; HEAD + PART];
            let (head, bytes) = value.split_at_mut(HEAD);
            let (number, place) = head.split_at_mut(HEAD / 2);
            number.copy_from_slice(&generation.to_le_bytes());
            // Weights on a device lie in 32 bits of memory.
            place.copy_from_slice(&(at as u32).to_le_bytes());
            for (to, from) in bytes.iter_mut().zip(part) {
                *to = *from;
            }
            let Some(key) = u16::try_from(index)
                .ok()
                .filter(|key| *key < SECOND - 1)
                .map(|key| key + first_key)
            else {
                return Err(Error::FullStorage);
            };
            let value = value.get(..HEAD + part.len()).unwrap_or(&[]);
            let Self { map, buffer, .. } = self;
            block_on(map.store_item(&mut buffer.0, &key, &value))?;
        }
        let len = u32::try_from(trainer.weights().len()).unwrap_or(u32::MAX);
        self.set_record(Record {
            generation,
            model: self.model,
            len,
            digest: trainer.weights_digest(),
        })
    }

    fn set_record(&mut self, record: Record) -> Result<(), Error<F::Error>> {
        let Self { map, buffer, .. } = self;
        block_on(map.store_item(&mut buffer.0, &RECORD, &record.words()))?;
        self.record = Some(record);
        Ok(())
    }

    /// Does `work`; where that fails, and no weights of this model are kept, once more in an erased flash.
    fn attempt(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<(), Error<F::Error>>,
    ) -> Result<(), ErrorCode> {
        let mut done = work(self);
        if done.is_err() && self.state != StoreState::Kept {
            self.record = None;
            done = block_on(self.map.erase_all()).and_then(|()| work(self));
        }
        done.map_err(|error| match error {
            Error::FullStorage | Error::ItemTooBig => ErrorCode::StoreFull,
            _ => ErrorCode::StoreFailed,
        })
    }
}

impl<F: blocking::NorFlash> Keep for Store<F> {
    fn save(&mut self, trainer: &Trainer<'_>) -> Result<StoreReport, ErrorCode> {
        self.attempt(|store| store.try_save(trainer))?;
        self.state = StoreState::Kept;
        Ok(self.report())
    }

    fn forget(&mut self) -> Result<StoreReport, ErrorCode> {
        self.attempt(|store| {
            let generation = store.record.map_or(0, |record| record.generation);
            store.set_record(Record {
                generation,
                model: 0,
                len: 0,
                digest: 0,
            })
        })?;
        self.state = StoreState::Empty;
        Ok(self.report())
    }

    fn report(&self) -> StoreReport {
        StoreReport {
            state: self.state,
            generation: self.record.map_or(0, |record| record.generation),
            model_crc32: self.record.map_or(0, |record| record.model),
            capacity: self.capacity,
        }
    }
}
