//! Convolutions with dilation, groups, depthwise, over several frames, against TensorFlow Lite's answers:
//! `tests/golden/conv_i8.json`, made by `conv_i8.py` beside it.

use host::export::{Builder, Int8Layer};
use nn_core::ops::{Activation, Conv2d};
use nn_core::tensor::DType;
use serde::Deserialize;
use serde_json::Value;
use tests::int8::quantize_multiplier;
use tests::network::run;

use crate::{quant, signed};

#[derive(Debug, Deserialize)]
struct Golden {
    x_shape: [usize; 4],
    x_scale: f32,
    x_zero: i32,
    y_scale: f32,
    y_zero: i32,
    w_shape: Vec<usize>,
    w_scales: Vec<f32>,
    w: Vec<i8>,
    bias: Vec<i32>,
    stride: [u16; 2],
    dilation: [u8; 2],
    groups: u16,
    padding: [u8; 4],
    relu: bool,
    x: Vec<i8>,
    y_shape: [usize; 4],
    y: Vec<i8>,
}

impl Golden {
    /// What nn-core gives, for an input of the shape `dims`.
    fn run(&self, dims: &[usize]) -> (Vec<usize>, Vec<i8>) {
        let multipliers = self.w_scales.iter().map(|&w_scale| {
            let products = f64::from(self.x_scale) * f64::from(w_scale);
            quantize_multiplier(products / f64::from(self.y_scale))
        });
        let (multipliers, shifts) = multipliers.unzip();
        let layer = Int8Layer {
            weight: self.w.clone(),
            shape: self.w_shape.clone(),
            scales: self.w_scales.clone(),
            bias: self.bias.clone(),
            multipliers,
            shifts,
            output: quant(self.y_scale, self.y_zero),
            activation: if self.relu {
                Activation::Relu
            } else {
                Activation::None
            },
        };
        let geometry = Conv2d {
            weight: 0,
            bias: None,
            requant: None,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
            activation: Activation::None,
        };
        let mut builder = Builder::new("convolution");
        let input = builder
            .input(dims, DType::I8, quant(self.x_scale, self.x_zero))
            .unwrap();
        let output = builder.conv2d_i8_of("conv", input, &layer, geometry);
        let output = output.unwrap();
        let shape = builder.tensor(output).shape;
        let blob = builder.finish(&[output], None).unwrap();
        let y = signed(
            &run(
                &blob,
                bytemuck::cast_slice(&self.x[..dims.iter().product()]),
            )[0],
        );
        (shape.dims().iter().map(|&dim| dim as usize).collect(), y)
    }
}

#[test]
fn tensorflow_lite_says_the_same_of_convolutions_of_all_kinds() {
    // MOTE_GOLDEN_CONV_I8 names a larger file that conv_i8.py made, with another seed and more rounds.
    let path = std::env::var_os("MOTE_GOLDEN_CONV_I8").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/golden/conv_i8.json").into(),
        std::path::PathBuf::from,
    );
    let text = std::fs::read_to_string(&path).expect("the golden file");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("its form");
    assert!(cases.len() >= 24);
    for (index, case) in cases.into_iter().enumerate() {
        let golden: Golden = serde_json::from_value(case).expect("its form");
        let (shape, y) = golden.run(&golden.x_shape);
        assert_eq!(shape, golden.y_shape, "case {index}");
        assert_eq!(y, golden.y, "case {index}");
        // The first frame alone, as a map.
        let (shape, y) = golden.run(&golden.x_shape[1..]);
        assert_eq!(shape, golden.y_shape[1..], "case {index}");
        assert_eq!(y, golden.y[..y.len()], "case {index}");
    }
}
