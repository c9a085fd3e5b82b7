//! What an agent remembers: which slot is served, what the slots hold, how far a package has come.
//!
//! A map of `sequential-storage` over at least two pages. What belongs together is one item, so that power that fails
//! leaves all of the old or all of the new.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;
use nn_core::link::agent::AgentError;
use sequential_storage::{
    Error,
    cache::{Cache, Uncached},
    map::{MapConfig, MapStorage},
};

use crate::flash::{Blocking, Worn, block_on};

/// The keys of the items.
const RECORD: u8 = 0;
const PROGRESS: u8 = 1;
const STARTS: u8 = 2;

/// Words of the record.
const WORDS: usize = 6;
/// The record's layout, in its first byte.
const LAYOUT: u8 = 1;
/// In the place of a slot's number: none.
const NONE: u8 = 0xFF;
/// The longest item with its key, in whole words of any flash.
const ITEM: usize = (1 + 4 * WORDS).next_multiple_of(32);

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Held {
    /// Nothing that counts.
    #[default]
    Empty,
    /// A package that was begun; perhaps whole.
    Begun,
    /// A package that was verified, tested and served.
    Served,
}

/// The item that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// The slot that is served.
    pub(super) active: Option<u8>,
    /// What each holds.
    pub(super) slots: [Held; 2],
    /// The least version that is taken.
    pub(super) floor: u32,
    /// That of the last weights that a host wrote and signed.
    pub(super) counter: u32,
    /// Counts packages that were begun: tells their progress apart.
    pub(super) load: u32,
    /// Digest of the manifest that was begun last.
    pub(super) manifest: u64,
}

impl Record {
    fn words(&self) -> [u32; WORDS] {
        let [a, b] = self.slots.map(|held| held as u8);
        let first = [LAYOUT, self.active.unwrap_or(NONE), a, b];
        [
            u32::from_le_bytes(first),
            self.floor,
            self.counter,
            self.load,
            // The lower half, then the upper one.
            self.manifest as u32,
            (self.manifest >> 32) as u32,
        ]
    }

    /// None where it is of another layout.
    fn from_words([first, floor, counter, load, low, high]: [u32; WORDS]) -> Option<Self> {
        let [LAYOUT, active, a, b] = first.to_le_bytes() else {
            return None;
        };
        let held = |code| match code {
            1 => Held::Begun,
            2 => Held::Served,
            _ => Held::Empty,
        };
        Some(Self {
            active: Some(active).filter(|slot| *slot < 2),
            slots: [held(a), held(b)],
            floor,
            counter,
            load,
            manifest: u64::from(high) << 32 | u64::from(low),
        })
    }

    /// What `slot` holds.
    pub(super) fn held(&self, slot: u8) -> Held {
        let held = self.slots.get(usize::from(slot));
        held.copied().unwrap_or_default()
    }

    /// The same with `held` in `slot`.
    pub(super) fn with(mut self, slot: u8, held: Held) -> Self {
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = held;
        }
        self
    }
}

/// The journal of a flash.
pub(super) struct Journal<F: NorFlash> {
    map: MapStorage<u8, Blocking<F>, Cache<Uncached, Uncached, Uncached, u8>>,
    buffer: Buffer,
    first: u32,
    record: Record,
    /// Of the package that was begun last: bytes that are written and read back.
    progress: u32,
    starts: u32,
}

/// Some flashes want words.
#[repr(align(8))]
struct Buffer([u8; ITEM]);

impl<F: NorFlash<Error = Worn>> Journal<F> {
    /// Reads the journal in `range` of `flash`, whole pages, at least two, and counts the start; none where the range is not
    /// that.
    pub(super) fn open(flash: F, range: Range<u32>) -> Option<Self> {
        let first = range.start;
        let config = MapConfig::try_new(range).ok()?;
        let mut journal = Self {
            map: MapStorage::new(Blocking(flash), config, Cache::new_uncached()),
            buffer: Buffer([0; ITEM]),
            first,
            record: Record::default(),
            progress: 0,
            starts: 0,
        };
        if let Err(Error::Corrupted { .. }) = journal.read() {
            // Not by power that failed, which the library mends: no journal yet, or foreign bytes.
            block_on(journal.map.erase_all()).ok();
            journal.read().ok();
        }
        let starts = journal.starts.saturating_add(1);
        // A start that cannot be counted is one all the same.
        if journal.store(STARTS, &[starts]).is_ok() {
            journal.starts = starts;
        }
        Some(journal)
    }

    fn read(&mut self) -> Result<(), Error<Worn>> {
        let words = self.fetch(RECORD)?;
        self.record = words.and_then(Record::from_words).unwrap_or_default();
        let progress = self.fetch(PROGRESS)?;
        self.progress = progress
            .filter(|[load, _]| *load == self.record.load)
            .map_or(0, |[_, bytes]| bytes);
        self.starts = self.fetch(STARTS)?.map_or(0, |[starts]| starts);
        Ok(())
    }

    fn fetch<const N: usize>(&mut self, key: u8) -> Result<Option<[u32; N]>, Error<Worn>> {
        block_on(self.map.fetch_item(&mut self.buffer.0, &key))
    }

    fn store<const N: usize>(&mut self, key: u8, words: &[u32; N]) -> Result<(), AgentError> {
        let stored = block_on(self.map.store_item(&mut self.buffer.0, &key, words));
        stored.map_err(|error| AgentError::Flash {
            offset: match error {
                Error::Storage { value, .. } => value.offset,
                _ => self.first,
            },
        })
    }

    /// What counts.
    pub(super) fn record(&self) -> Record {
        self.record
    }

    /// Starts since the flash was made.
    pub(super) fn starts(&self) -> u32 {
        self.starts
    }

    /// Bytes of the package begun last that are written and read back.
    pub(super) fn progress(&self) -> u32 {
        self.progress
    }

    /// From now on this counts.
    pub(super) fn set(&mut self, record: Record) -> Result<(), AgentError> {
        if record == self.record {
            return Ok(());
        }
        self.store(RECORD, &record.words())?;
        if record.load != self.record.load {
            self.progress = 0;
        }
        self.record = record;
        Ok(())
    }

    /// So many bytes of the package begun last are there.
    pub(super) fn mark(&mut self, bytes: u32) -> Result<(), AgentError> {
        self.store(PROGRESS, &[self.record.load, bytes])?;
        self.progress = bytes;
        Ok(())
    }
}
