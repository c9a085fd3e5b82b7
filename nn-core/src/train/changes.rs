//! What a trainer has learnt that its blob does not hold.

use super::Trainer;

impl Trainer<'_> {
    /// The parts of [`weights`](Self::weights) that differ from the blob's, each of at most `most` bytes (of at least 1),
    /// with the byte of `weights` where it begins. A part never spans two tensors.
    ///
    /// What is written on a reset trainer by [`write_weights`](Self::write_weights), part by part, gives the same weights.
    pub fn changes(&self, most: usize) -> impl Iterator<Item = (usize, &[u8])> {
        let (model, most) = (self.model(), most.max(1));
        let mut first = 0_usize;
        model.learnt().flat_map(move |range| {
            let own = model.weights().get(range).unwrap_or(&[]);
            let start = first;
            first = first.saturating_add(own.len());
            let learnt = self.weights().get(start..first).unwrap_or(&[]);
            let parts = learnt.chunks(most).zip(own.chunks(most)).enumerate();
            parts.filter_map(move |(index, (part, own))| {
                (part != own).then_some((start + index * most, part))
            })
        })
    }
}
