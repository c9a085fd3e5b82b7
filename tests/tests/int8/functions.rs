//! Functions of one number, and softmax, against the reference and against the real ones.

use host::export::Builder;
use nn_core::ops::Op;
use nn_core::tensor::DType;
use proptest::prelude::*;
use tests::int8::{self, input_rescale, quantize_multiplier};

use crate::random::{config, zero_point};
use crate::{Function, quant, run, run_dequantize, run_function, run_quantize, signed};

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn sigmoid_and_tanh(exponent in -12.0..1.0f32, zero in zero_point()) {
        let scale = exponent.exp2();
        let x: Vec<i8> = (-128..=127).collect();
        prop_assert_eq!(run_function(Function::Sigmoid, &x, scale, zero), int8::sigmoid(&x, scale, zero));
        prop_assert_eq!(run_function(Function::Tanh, &x, scale, zero), int8::tanh(&x, scale, zero));
    }

    #[test]
    fn softmax(
        exponent in -12.0..3.0f32,
        zero in zero_point(),
        x in prop::collection::vec(any::<i8>(), 1..50),
    ) {
        let scale = exponent.exp2();
        prop_assert_eq!(run_function(Function::Softmax, &x, scale, zero), int8::softmax(&x, scale));
    }

    #[test]
    fn relu(x in prop::collection::vec(any::<i8>(), 1..50), zero in zero_point()) {
        let mut builder = Builder::new("relu");
        let input = builder.input(&[x.len()], DType::I8, quant(0.1, zero)).unwrap();
        let output = builder.same("relu", Op::Relu, input).unwrap();
        let blob = builder.finish(&[output], None).unwrap();
        let wanted: Vec<i8> = x.iter().map(|&x| x.max(zero as i8)).collect();
        prop_assert_eq!(signed(&run(&blob, bytemuck::cast_slice(&x))[0]), wanted);
    }

    #[test]
    fn quantize(
        x in prop::collection::vec(prop_oneof![
            (-40_000..40_000i32).prop_map(|x| x as f32 / 256.0),
            any::<f32>().prop_filter("a number", |x| !x.is_nan()),
        ], 1..50),
        exponent in -8..3i32,
        factor in 0.5..1.0f32,
        zero in zero_point(),
    ) {
        for scale in [(exponent as f32).exp2(), factor * (exponent as f32).exp2()] {
            let wanted: Vec<i8> = x.iter().map(|&x| int8::quantize(x, scale, zero)).collect();
            prop_assert_eq!(run_quantize(&x, scale, zero), wanted);
        }
    }

    #[test]
    fn dequantize(exponent in -20.0..10.0f32, zero in zero_point()) {
        let scale = exponent.exp2();
        let x: Vec<i8> = (-128..=127).collect();
        let wanted: Vec<f32> = x
            .iter()
            .map(|&x| (f64::from(scale) * f64::from(i32::from(x) - zero)) as f32)
            .collect();
        prop_assert_eq!(run_dequantize(&x, scale, zero), wanted);
    }
}

#[test]
fn the_exporter_s_factors_are_the_reference_s() {
    let mut random = tests::random::Random::new(12);
    for _ in 0..20_000 {
        let factor = f64::from(40.0 * random.unit()).exp2();
        let (multiplier, shift) = quantize_multiplier(factor);
        if shift <= 30 && multiplier < i32::MAX {
            assert_eq!(
                host::export::quantize_multiplier(factor),
                (multiplier, shift),
                "{factor}"
            );
        }
        let scale = (14.0 * random.unit() - 6.0).exp2();
        for (bits, softmax) in [(4, false), (5, true)] {
            if let Some(found) = host::export::input_rescale(scale, bits) {
                let (multiplier, shift, radius) = input_rescale(scale, bits, softmax);
                let found = (found.multiplier, i32::from(found.shift), found.radius);
                // A blob holds radii to 2^16: an int8 never differs from another by that much.
                let wanted = (multiplier, shift, radius.min(1 << 16));
                assert_eq!(found, wanted, "scale {scale}");
            }
        }
    }
}

#[test]
fn quantize_makes_the_zero_point_of_what_is_no_number() {
    assert_eq!(run_quantize(&[f32::NAN], 0.1, 17), [17]);
    assert_eq!(
        run_quantize(&[f32::INFINITY, f32::NEG_INFINITY], 0.1, 17),
        [127, -128]
    );
}

#[test]
fn int8_functions_are_near_the_real_ones() {
    // The fixed-point functions are good to half a step of the output, and a little.
    let x: Vec<i8> = (-128..=127).collect();
    for (scale, zero) in [(1.0 / 16.0, 0), (0.02, -40), (0.1, 127)] {
        let real = |x: i8| f64::from(scale) * f64::from(i32::from(x) - zero);
        for (&x, y) in x
            .iter()
            .zip(run_function(Function::Sigmoid, &x, scale, zero))
        {
            let wanted = 256.0 / (1.0 + (-real(x)).exp()) - 128.0;
            assert!((f64::from(y) - wanted.min(127.0)).abs() < 0.51);
        }
        for (&x, y) in x.iter().zip(run_function(Function::Tanh, &x, scale, zero)) {
            let wanted = 128.0 * real(x).tanh();
            assert!((f64::from(y) - wanted.min(127.0)).abs() < 0.51);
        }
    }
}
