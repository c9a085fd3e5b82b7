use super::*;

/// Golden: TensorFlow Lite, `quantization_util_test.cc`, where the value is listed there; the
/// others by hand.
#[test]
fn multipliers_are_those_of_the_reference() {
    let cases = [
        (0.0, (0, 0)),
        (0.25, (0x4000_0000, -1)),
        (0.5 - 1e-10, (0x4000_0000, 0)),
        (0.5, (0x4000_0000, 0)),
        (0.75, (0x6000_0000, 0)),
        (1.0 - 1e-9, (0x7fff_fffe, 0)),
        (1.0 - 1e-12, (0x4000_0000, 1)),
        (1.0, (0x4000_0000, 1)),
        (1.25, (0x5000_0000, 1)),
        (1.5, (0x6000_0000, 1)),
        // 2^−31 is the smallest power that is left, 2^−33 is nothing.
        (f64::powi(2.0, -32), (0x4000_0000, -31)),
        (f64::powi(2.0, -33), (0, 0)),
        (f64::powi(2.0, 30), (0x4000_0000, 31)),
        (f64::MIN_POSITIVE / 4.0, (0, 0)),
    ];
    for (factor, wanted) in cases {
        assert_eq!(quantize_multiplier(factor), wanted, "{factor:e}");
    }
}

#[test]
fn a_multiplier_stands_for_its_factor() {
    for step in 0..2000 {
        let factor = f64::powf(1.02, f64::from(step) - 1000.0);
        let (multiplier, shift) = quantize_multiplier(factor);
        if multiplier == 0 {
            assert!(factor < f64::powi(2.0, -32));
            continue;
        }
        assert!(multiplier >= 1 << 30);
        let found = f64::from(multiplier) * f64::powi(2.0, shift - 31);
        // Rounded to 31 bits.
        assert!(
            (found / factor - 1.0).abs() <= f64::powi(2.0, -31),
            "{factor:e}"
        );
    }
}

#[test]
fn a_number_is_its_mantissa_times_its_power() {
    for value in [1.0, 0.3, 5e-324, 1e-310, f64::MIN_POSITIVE, f64::MAX] {
        let (mantissa, exponent) = frexp(value);
        assert!((0.5..1.0).contains(&mantissa), "{value:e}");
        // In two steps: a power of 2 alone may lie out of range.
        let half = exponent / 2;
        let back = mantissa * f64::powi(2.0, half) * f64::powi(2.0, exponent - half);
        assert_eq!(back, value);
    }
}

/// Golden: TensorFlow Lite, `quantization_util_test.cc`, `PreprocessSoftmaxScaling`; the radius by
/// its formula.
#[test]
fn inputs_of_functions_are_rescaled_as_the_reference_does() {
    let rescale = |multiplier, shift, radius| {
        Some(InputRescale {
            multiplier,
            shift,
            radius,
        })
    };
    assert_eq!(input_rescale(8.0, 5), rescale(1 << 30, 30, 1));
    assert_eq!(input_rescale(1.0, 4), rescale(1 << 30, 28, 7));
    assert_eq!(input_rescale(0.0625, 5), rescale(1 << 30, 23, 248));
    assert_eq!(input_rescale(0.09375, 5), rescale(3 << 29, 23, 248));
    // Shifts of 31 and more, or below 0, are not the kernels'.
    assert_eq!(input_rescale(16.0, 5), None);
    assert_eq!(input_rescale(1e-9, 5), None);
}

#[test]
fn a_range_holds_zero_exactly() {
    let affine = |min, max| Affine::covering(Range { min, max });
    // Golden: TensorFlow Lite's `ChooseQuantizationParams`, −10 to 30: scale 40/255, zero 64 − 128.
    let found = affine(-10.0, 30.0);
    assert_eq!(found.zero_point, -64);
    assert!((found.scale - 40.0 / 255.0).abs() < 1e-8);
    assert_eq!(affine(0.0, 1.0), Affine::PIXELS);
    assert_eq!(affine(3.0, 4.0), affine(0.0, 4.0));
    assert_eq!(affine(-4.0, -3.0).zero_point, 127);
    assert_eq!(affine(0.0, 0.0).scale, 1.0);
}

fn quantize(weight: &[f32], bias: &[f32], scale: f32) -> Result<Int8Layer, ExportError> {
    let shape = [bias.len(), weight.len() / bias.len()];
    let parameters = Parameters {
        layer: "dense_1",
        weight,
        shape: &shape,
        bias,
        room: 1.0,
    };
    let affine = Affine {
        scale,
        zero_point: 3,
    };
    quantize_layer(parameters, affine, affine, Activation::None)
}

#[test]
fn each_channel_has_its_own_scale() {
    let layer = quantize(&[1.0, -2.54, 0.0, 0.0, 0.5, 0.127], &[0.0, 1.0, -0.1], 0.5).unwrap();
    assert_eq!(layer.weight, [50, -127, 0, 0, 127, 32]);
    assert_eq!(layer.scales[0], 0.02);
    // A channel of zeros has the scale that its bias needs.
    assert_eq!(layer.bias[1], 1 << 30);
    assert_eq!(
        layer.bias[2],
        (-0.1f64 / (0.5 * (0.5 / 127.0))).round() as i32
    );
}

#[test]
fn a_bias_beyond_32_bits_widens_the_scale() {
    let layer = quantize(&[1e-9, -1e-9], &[100.0], 0.1).unwrap();
    let bias = f64::from(layer.bias[0]) * 0.1f32 as f64 * f64::from(layer.scales[0]);
    assert!((bias - 100.0).abs() < 1e-4, "{bias}");
    assert_eq!(layer.weight, [0, 0]);
}

#[test]
fn sums_that_could_overflow_are_refused() {
    // 70,000 · 127 · 255 exceeds 2^31.
    let error = quantize(&vec![1.0; 70_000], &[0.0], 1.0).unwrap_err();
    assert!(
        error.to_string().contains("`dense_1`, output channel 0"),
        "{error}"
    );
    assert!(quantize(&vec![1.0; 60_000], &[0.0], 1.0).is_ok());
}
