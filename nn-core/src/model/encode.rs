//! Writing a blob.

use core::fmt;

use serde::Serialize;

use crate::engine::arena_len;
use crate::memory::{Buffer, PlanError, table_len};
use crate::model::header::{ALIGN, checksum, layout};
use crate::model::{HEADER_LEN, Header, Ids, LoadError, Model, Node, VERSION};
use crate::tensor::{DType, Tensor};
use crate::train::TrainSpec;

/// The graph section, to be written.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Graph<'g> {
    /// The model's name.
    pub name: &'g str,
    /// All tensors; a tensor's id is its place.
    pub tensors: &'g [Tensor],
    /// The nodes in the order in which they run.
    pub nodes: &'g [Node<'g>],
    /// The graph's inputs.
    pub inputs: Ids,
    /// The graph's outputs.
    pub outputs: Ids,
    /// What a device may train.
    pub train: Option<TrainSpec>,
}

/// Why a blob cannot be written.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum EncodeError {
    /// `out` is too small.
    Space {
        /// Bytes given.
        found: usize,
    },
    /// `table` is too small.
    Table {
        /// Entries needed.
        wanted: usize,
        /// Entries given.
        found: usize,
    },
    /// The model breaks a rule that loading checks.
    Invalid(LoadError),
    /// The model cannot be planned.
    Plan(PlanError),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Space { found } => write!(f, "the blob does not fit {found} bytes"),
            Self::Table { wanted, found } => {
                write!(f, "planner's table of {found} entries: {wanted} wanted")
            }
            Self::Invalid(error) => error.fmt(f),
            Self::Plan(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EncodeError {}

/// Writes a blob into `out`, which begins on a 16-byte boundary, and returns how many bytes it takes.
///
/// The blob is checked as [`Model::load`] checks it, and planned: its header carries the exact arena sizes.
/// `table` is the planner's working memory: [`table_bound`](crate::memory::table_bound) entries are
/// always enough.
pub fn encode(
    graph: &Graph,
    weights: &[u8],
    out: &mut [u8],
    table: &mut [Buffer],
) -> Result<usize, EncodeError> {
    let space = EncodeError::Space { found: out.len() };
    let body = out.get_mut(HEADER_LEN..).ok_or(space)?;
    let graph_len = postcard::to_slice(graph, body).map_err(|_| space)?.len();
    let weights_at = (HEADER_LEN + graph_len).next_multiple_of(ALIGN);
    let end = weights_at.checked_add(weights.len()).ok_or(space)?;
    let blob = out.get_mut(..end).ok_or(space)?;
    if let Some(padding) = blob.get_mut(HEADER_LEN + graph_len..weights_at) {
        padding.fill(0);
    }
    if let Some(section) = blob.get_mut(weights_at..) {
        section.copy_from_slice(weights);
    }
    let length = |length: usize| u32::try_from(length).map_err(|_| space);
    let mut header = Header {
        version: VERSION,
        layout: layout_of(graph),
        graph_len: length(graph_len)?,
        weights_at: length(weights_at)?,
        weights_len: length(weights.len())?,
        arena_infer: 0,
        arena_train: 0,
        crc: 0,
    };
    seal(blob, &mut header);
    let model = Model::load(blob).map_err(EncodeError::Invalid)?;
    let mut plan = |train: bool| {
        let wanted = table_len(&model, train);
        let found = table.len();
        let table = table
            .get_mut(..wanted)
            .ok_or(EncodeError::Table { wanted, found })?;
        let bytes = arena_len(&model, train, table).map_err(EncodeError::Plan)?;
        length(bytes)
    };
    header.arena_infer = plan(false)?;
    header.arena_train = if graph.train.is_some() {
        plan(true)?
    } else {
        0
    };
    seal(blob, &mut header);
    Ok(end)
}

/// The plainest layout that has all operators. Loading refuses a graph of two packed ones.
fn layout_of(graph: &Graph) -> u16 {
    let packed = graph.nodes.iter().find_map(|node| node.op.packed());
    let weight = packed.and_then(|[weight, _]| graph.tensors.get(usize::from(weight)));
    match weight.map(|tensor| tensor.dtype) {
        None => layout::PLAIN,
        Some(DType::I8) => layout::ARMV7M,
        Some(_) => layout::ARMV7EM,
    }
}

/// Renews the checksum of a blob whose weights were changed in place, and checks it.
pub fn reseal(blob: &mut [u8]) -> Result<(), LoadError> {
    let wanted = HEADER_LEN;
    let found = blob.len();
    let head = blob
        .first_chunk::<HEADER_LEN>()
        .ok_or(LoadError::Truncated { wanted, found })?;
    let mut header = Header::decode(head);
    seal(blob, &mut header);
    Model::load(blob).map(|_| ())
}

/// Writes the header with the checksum of what is there.
fn seal(blob: &mut [u8], header: &mut Header) {
    for _ in 0..2 {
        if let Some(head) = blob.first_chunk_mut::<HEADER_LEN>() {
            *head = header.encode();
        }
        header.crc = checksum(blob);
    }
}
