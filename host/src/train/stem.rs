//! What the lowest layers give, computed once.
//!
//! Where these layers are frozen and each epoch shows the same images, they give the same numbers in each epoch: a
//! pretrained network below a new head is run once over its images, and then only the head learns.

use tch::{Device, Tensor};

use super::TrainError;
use super::network::Network;
use super::workers::Workers;
use crate::data::{DataSet, Flip, Split, Values};
use crate::recipe::{Aim, Feed, LayerKind, Recipe, ResolvedLayer};

/// Most bytes that are kept.
const MOST: usize = 1 << 30;

/// How many layers from the first on always give the same; 0 where it saves nothing to keep what they give.
pub(super) fn layers(recipe: &Recipe, set: &DataSet) -> usize {
    let augment = &recipe.data.augment;
    let same = augment.shift == 0 && augment.rotate == 0.0 && augment.flip == Flip::None;
    if !same || set.values.is_some() {
        return 0;
    }
    let layers = recipe.layers();
    let still = layers.iter().take_while(|layer| is_still(layer)).count();
    // All above reads the last of them alone.
    let reads_last = |&count: &usize| {
        let above = layers[count..].iter().flat_map(|layer| &layer.inputs);
        let mut above = above.map(|feed| match *feed {
            Feed::Image => false,
            Feed::Layer(index) => index + 1 >= count,
        });
        let mut heads = recipe.train.heads.iter();
        above.all(|above| above)
            && heads.all(|head| head.layer >= count && head.target != Aim::Image)
    };
    let count = (1..=still).rev().find(reads_last).unwrap_or(0);
    let has_weights = |layer: &ResolvedLayer| !layer.tensors().is_empty();
    if layers[..count].iter().any(has_weights) {
        count
    } else {
        0
    }
}

/// Whether a layer learns nothing, and leaves nothing to chance.
fn is_still(layer: &ResolvedLayer) -> bool {
    let by_chance = matches!(layer.kind, LayerKind::Dropout(_) | LayerKind::Rrelu(_));
    !by_chance && (layer.frozen || layer.tensors().is_empty())
}

/// `set` with what the first `layers` of `network` give for the samples of `split` in place of their images; `None` where
/// that would take too much memory. The network then begins above these layers.
pub(super) fn enter(
    network: &mut Network,
    layers: usize,
    set: &DataSet,
    split: &Split,
    workers: &Workers,
) -> Result<Option<DataSet>, TrainError> {
    let numbers: usize = network.shape_of(layers).iter().product();
    let bytes = set
        .len()
        .saturating_mul(numbers)
        .saturating_mul(size_of::<f32>());
    if layers == 0 || bytes > MOST {
        return Ok(None);
    }
    let mut inputs = vec![0.0; set.len() * numbers];
    let mut shape = Vec::new();
    let all: Vec<usize> = split
        .training
        .iter()
        .chain(&split.validation)
        .copied()
        .collect();
    for (indices, given) in workers.features(network, layers, set, &all)? {
        shape = given.size().into_iter().skip(1).collect();
        let given = given.f_contiguous()?.f_to(Device::Cpu)?;
        let mut all = vec![0.0; indices.len() * numbers];
        given.f_copy_data(&mut all, indices.len() * numbers)?;
        for (index, given) in indices.iter().zip(all.chunks_exact(numbers)) {
            inputs[index * numbers..][..numbers].copy_from_slice(given);
        }
    }
    network.begin_above(layers, &shape);
    Ok(Some(DataSet {
        shape: [1, 1, numbers],
        images: Vec::new(),
        values: Some(Values {
            inputs,
            targets: Vec::new(),
            features: Vec::new(),
            columns: Vec::new(),
            series: false,
        }),
        name: set.name.clone(),
        classes: set.classes,
        labels: set.labels.clone(),
    }))
}

/// What layers give for one shard of samples.
pub(super) type Features<'i> = (&'i [usize], Tensor);
