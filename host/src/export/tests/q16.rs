//! The formats in fixed point.

use nn_core::train::Target;

use super::*;
use crate::blob::Blob;
use crate::device::{Device, Here};
use crate::export::BuildError;

/// The numbers of a node's output.
fn real(model: &Model<'_>, node: usize, bytes: &[u8]) -> Vec<f32> {
    let output = model.nodes().nth(node).unwrap().output;
    sample::scores(&model.tensor(output).unwrap(), bytes).unwrap()
}

/// Q16 rounds inputs, weights and each output to 2⁻¹⁶. A weight's error of 2⁻¹⁷ meets the inputs of its layer, of
/// which there are up to 60 of about 1 here: 2⁻¹¹ at worst, and half of that again for what came in. After three
/// layers that is less than 2⁻⁹, which no part of the network enlarges.
#[test]
fn q16_computes_what_f32_does_within_its_bound() {
    let fixture = fixture();
    let [float, fixed] = [Format::F32, Format::Q16].map(|format| fixture.blob(format));
    let [float, fixed] = [&float, &fixed].map(|blob| Model::load(blob).unwrap());
    assert!(ops(&fixed).iter().all(|(.., dtype)| *dtype == DType::Q16));
    let names = |model| {
        let ops = ops(model).into_iter();
        ops.map(|(name, op, _)| (name, op)).collect::<Vec<_>>()
    };
    assert_eq!(names(&float), names(&fixed));
    let mut worst = vec![0f32; float.nodes().len()];
    for image in 0..fixture.set.len() {
        let [wanted, found] = [&float, &fixed].map(|model| run(*model, fixture.set.image(image)));
        for (node, (wanted, found)) in wanted.iter().zip(&found).enumerate() {
            let pairs = real(&float, node, wanted).into_iter();
            for (wanted, found) in pairs.zip(real(&fixed, node, found)) {
                worst[node] = worst[node].max((wanted - found).abs());
            }
        }
    }
    let bound = 1.0 / 512.0;
    assert!(worst.iter().all(|error| *error < bound), "{worst:?}");
    // The answers are fixed point, not f32 by another name.
    assert!(worst.iter().any(|error| *error > 0.0), "{worst:?}");
}

/// The same class, again and again: its loss falls, and the first weights stay what they were.
#[test]
fn a_q16_blob_learns() {
    let fixture = fixture();
    let path = Path::new("all-operators-q16.mote");
    let blob = Blob::new(path, fixture.blob(Format::Q16)).unwrap();
    assert!(blob.model().train_spec().is_some());
    let input = sample::encode(&blob.model().input(0).unwrap(), fixture.set.image(0)).unwrap();
    let mut device = Here::new(&blob).unwrap();
    let mut losses = Vec::new();
    for _ in 0..20 {
        losses.push(device.train(&input, Target::Class(3)).unwrap().loss);
    }
    assert!(losses[19] < 0.2 * losses[0], "{losses:?}");
    assert_eq!(
        device.read_weights().unwrap().len(),
        4 * (12 * 11 + 11 + 11 * 10 + 10)
    );
}

#[test]
fn weights_out_of_range_are_refused_by_name() {
    let recipe = recipe();
    let mut checkpoint = checkpoint(&recipe);
    checkpoint.tensors.get_mut("dense_2.weight").unwrap().values[3] = 4e4;
    let network = Network::new(&recipe, &checkpoint).unwrap();
    let ranges = Ranges::measure(&network, &images(2)).unwrap();
    let error = network.lower(&recipe, &ranges, Format::Q16).unwrap_err();
    assert!(matches!(
        &error,
        ExportError::Build(BuildError::OutOfRange { layer, count: 1, .. }) if layer == "dense_2"
    ));
    let error = error.to_string();
    assert!(error.contains("export f32 instead"), "{error}");
}
