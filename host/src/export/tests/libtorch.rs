//! The f32 blob against libtorch.

use nn_core::model::Model;
use tch::Tensor;

use super::{fixture, floats, run};
use crate::recipe::Format;

/// With the checkpoint's weights as they are.
#[test]
fn f32_is_what_libtorch_computes() {
    let fixture = fixture();
    let parameter = |name: &str| {
        let values = &fixture.checkpoint.tensors[name];
        let shape: Vec<i64> = values.shape.iter().map(|&n| n as i64).collect();
        Tensor::from_slice(&values.values).reshape(shape)
    };
    let layer = |name: &str| {
        let [weight, bias] = ["weight", "bias"].map(|kind| parameter(&format!("{name}.{kind}")));
        (weight, bias)
    };
    let blob = fixture.blob(Format::F32);
    let model = Model::load(&blob).unwrap();
    for (image, _) in fixture.set.iter() {
        let pixels: Vec<f32> = image.iter().map(|&p| f32::from(p) / 255.0).collect();
        let x = Tensor::from_slice(&pixels).reshape([1, 1, 28, 28]);
        let (w, b) = layer("conv2d_1");
        // same, kernel 4 x 3, stride 2: one row before and after, one column after.
        let x = x.constant_pad_nd([0, 1, 1, 1]);
        let x = x.conv2d(&w, Some(&b), [2, 2], [0, 0], [1, 1], 1).relu();
        // same, 3 x 3, stride 2 on 14: one after, not counted.
        let x = x.avg_pool2d([3, 3], [2, 2], [0, 0], true, true, None::<i64>);
        let (w, b) = layer("conv2d_2");
        let x = x.conv2d(&w, Some(&b), [1, 1], [0, 0], [1, 1], 1).tanh();
        let x = x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], true);
        // Height, width, channels, as the device flattens.
        let x = x.permute([0, 2, 3, 1]).flatten(1, -1);
        let (w, b) = layer("dense_1");
        let x = x.linear(&w, Some(&b)).sigmoid();
        let (w, b) = layer("dense_2");
        let x = x.linear(&w, Some(&b)).relu();
        let (w, b) = layer("dense_3");
        let x = x.linear(&w, Some(&b)).softmax(-1, None);
        let wanted = Vec::<f32>::try_from(x.flatten(0, -1)).unwrap();
        let found = floats(run(model, image).last().unwrap());
        for (wanted, found) in wanted.iter().zip(found) {
            // Probabilities; sums of up to 45 products in another order.
            assert!(
                (f64::from(*wanted) - found).abs() < 1e-5,
                "{wanted} {found}"
            );
        }
    }
}
