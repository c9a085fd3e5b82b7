//! Convolutions and poolings that slides work out on small images.

use nn_core::ops::{Activation, Pool2d};

use super::lab::{Lab, Numbers};
use super::{Figure, ZooError};

const VERTICAL: [f32; 9] = [1., 0., -1., 1., 0., -1., 1., 0., -1.];
const HORIZONTAL: [f32; 9] = [1., 1., 1., 0., 0., 0., -1., -1., -1.];
const SOBEL: [f32; 9] = [-1., 0., 1., -2., 0., 2., -1., 0., 1.];
const CROSS: [f32; 9] = [1., 0., 1., 0., 1., 0., 1., 0., 1.];

/// A convolution of a square image with a square filter of 3 x 3.
struct Case {
    name: &'static str,
    image: Vec<f32>,
    filter: [f32; 9],
    stride: u16,
    padding: u8,
    /// The slide's result; of some it gives the first number only.
    wanted: Vec<f64>,
}

/// An image of equal rows.
fn rows(row: [f32; 6]) -> Vec<f32> {
    row.repeat(6)
}

/// A map of equal rows.
fn map(row: [f64; 4]) -> Vec<f64> {
    row.repeat(4)
}

/// The image of the slides' exercise: a bar above, a wider one below.
fn exercise() -> Vec<f32> {
    let above = [60., 60., 0., 0., 0., 0.].repeat(3);
    let below = [60., 60., 60., 60., 0., 0.].repeat(3);
    [above, below].concat()
}

/// The image on which the slides show stride and padding.
const PHOTO: [f32; 36] = [
    18., 54., 51., 239., 244., 188., 55., 121., 75., 78., 95., 88., 35., 24., 204., 113., 109.,
    221., 3., 154., 104., 235., 25., 130., 15., 253., 225., 159., 78., 233., 68., 85., 180., 214.,
    245., 0.,
];

fn cases() -> Vec<Case> {
    let case = |name, image, filter, wanted| Case {
        name,
        image,
        filter,
        stride: 1,
        padding: 0,
        wanted,
    };
    let bits = [
        1., 1., 1., 0., 0., 0., 1., 1., 1., 0., 0., 0., 1., 1., 1., 0., 0., 1., 1., 0., 0., 1., 1.,
        0., 0.,
    ];
    let halves = [[50.; 18], [0.; 18]].concat();
    vec![
        case(
            "vertical edge",
            rows([50., 50., 50., 0., 0., 0.]),
            VERTICAL,
            map([0., 150., 150., 0.]),
        ),
        case(
            "horizontal edge",
            halves,
            HORIZONTAL,
            [[0.; 4], [150.; 4], [150.; 4], [0.; 4]].concat(),
        ),
        case(
            "exercise, vertical edges",
            exercise(),
            VERTICAL,
            [
                [180., 180., 0., 0.],
                [120., 120., 60., 60.],
                [60., 60., 120., 120.],
                [0., 0., 180., 180.],
            ]
            .concat(),
        ),
        case(
            "Sobel",
            rows([50., 50., 50., 0., 0., 0.]),
            SOBEL,
            map([0., -200., -200., 0.]),
        ),
        case(
            "bits",
            bits.to_vec(),
            CROSS,
            vec![4., 3., 4., 2., 4., 3., 2., 3., 4.],
        ),
        case("photo", PHOTO.to_vec(), CROSS, vec![429.]),
        Case {
            padding: 1,
            ..case("photo, padded", PHOTO.to_vec(), CROSS, vec![139.])
        },
        Case {
            stride: 2,
            ..case("photo, stride 2", PHOTO.to_vec(), CROSS, vec![429.])
        },
        // How often each pixel of 5 x 5 serves a filter of 3 x 3.
        Case {
            padding: 2,
            ..case(
                "uses of each pixel",
                vec![1.; 9],
                [1.; 9],
                vec![
                    1., 2., 3., 2., 1., 2., 4., 6., 4., 2., 3., 6., 9., 6., 3., 2., 4., 6., 4., 2.,
                    1., 2., 3., 2., 1.,
                ],
            )
        },
    ]
}

/// The sum as its definition has it, over square images with `channels` last.
fn naive(
    image: &[f32],
    channels: usize,
    filter: &[f32],
    filters: usize,
    [stride, padding]: [usize; 2],
) -> Vec<f64> {
    let side = (image.len() / channels).isqrt();
    let across = (side + 2 * padding - 3) / stride + 1;
    let mut map = Vec::new();
    for at in 0..across * across {
        let (row, column) = (at / across * stride, at % across * stride);
        for o in 0..filters {
            let mut sum = 0.0;
            for tap in 0..9 * channels {
                let (cell, c) = (tap / channels, tap % channels);
                let (y, x) = (row + cell / 3, column + cell % 3);
                let inside = |at: usize| (padding..padding + side).contains(&at);
                if inside(y) && inside(x) {
                    let pixel = (y - padding) * side + x - padding;
                    let weight = filter[tap * filters + o];
                    sum += f64::from(image[pixel * channels + c]) * f64::from(weight);
                }
            }
            map.push(sum);
        }
    }
    map
}

pub(super) fn convolution(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let mut figures = Vec::new();
    for numbers in Numbers::ALL {
        for case in cases() {
            let name = format!("{}: {}", numbers.name(), case.name);
            let (stride, padding) = (case.stride, case.padding);
            let ours = convolve(lab, numbers, &case.image, 1, &case.filter, stride, padding)?;
            compare(&name, &case.wanted, &ours, &mut figures);
            let by = [stride.into(), padding.into()];
            let naive = naive(&case.image, 1, &case.filter, 1, by);
            figures.push(Figure::exact(
                format!("{name}, size"),
                naive.len() as f64,
                ours.len() as f64,
            ));
            whole(
                &format!("{name}, by definition"),
                &naive,
                &ours,
                &mut figures,
            );
        }
        colours(lab, numbers, &mut figures)?;
        pooling(lab, numbers, &mut figures)?;
    }
    Ok(figures)
}

fn convolve(
    lab: &mut Lab,
    numbers: Numbers,
    image: &[f32],
    channels: usize,
    filter: &[f32],
    stride: u16,
    padding: u8,
) -> Result<Vec<f64>, ZooError> {
    let side = (image.len() / channels).isqrt();
    let filters = filter.len() / (9 * channels);
    let shape = [side, side, channels];
    let mut net = lab.net("convolution", numbers, &shape, None, |builder, x| {
        let kernel = [3, 3, channels, filters];
        let bias = vec![0.0; filters];
        let stride = [stride; 2];
        builder.conv2d(
            "filter",
            x,
            kernel,
            filter,
            &bias,
            stride,
            [padding; 4],
            Activation::None,
        )
    })?;
    let map = net.run(image)?;
    net.finish()?;
    Ok(map)
}

/// An RGB image of 6 x 6 under two filters of 3 x 3 x 3: the sums of each colour by itself, added up.
fn colours(lab: &mut Lab, numbers: Numbers, figures: &mut Vec<Figure>) -> Result<(), ZooError> {
    // Whole numbers, so that every sum is exact.
    let image: Vec<f32> = (0..108u16).map(|i| f32::from(i * 7 % 31)).collect();
    let filters: Vec<f32> = (0..54u16).map(|i| f32::from(i * 5 % 7) - 3.0).collect();
    let ours = convolve(lab, numbers, &image, 3, &filters, 1, 0)?;
    let name = format!("{}: RGB", numbers.name());
    let (image, filters) = (&image, &filters);
    let colour = |c: usize| {
        let of = |all: &[f32], step: usize, at: usize, len: usize| -> Vec<f32> {
            all.chunks(step)
                .flat_map(|part| part[at..at + len].to_vec())
                .collect()
        };
        naive(&of(image, 3, c, 1), 1, &of(filters, 6, 2 * c, 2), 2, [1, 0])
    };
    let colours = [0, 1, 2].map(colour);
    let sums: Vec<f64> = (0..colours[0].len())
        .map(|i| colours.iter().map(|colour| colour[i]).sum())
        .collect();
    figures.push(Figure::exact(
        format!("{name}, 4 x 4 x 2 numbers"),
        32.0,
        ours.len() as f64,
    ));
    whole(
        &format!("{name}, the sum of its colours"),
        &sums,
        &ours,
        figures,
    );
    Ok(())
}

fn pooling(lab: &mut Lab, numbers: Numbers, figures: &mut Vec<Figure>) -> Result<(), ZooError> {
    const IMAGE: [f32; 16] = [
        20., 5., 2., 10., 3., 10., 7., 1., 8., 1., 6., 9., 4., 7., 3., 5.,
    ];
    let pool = Pool2d {
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0; 4],
    };
    let mut net = lab.net("max-pool", numbers, &[4, 4, 1], None, |builder, x| {
        builder.max_pool2d("pool", x, pool)
    })?;
    let name = format!("{}: max pooling", numbers.name());
    compare(&name, &[20., 10., 8., 9.], &net.run(&IMAGE)?, figures);
    net.finish()?;
    let mut net = lab.net("average-pool", numbers, &[4, 4, 1], None, |builder, x| {
        builder.avg_pool2d("pool", x, pool)
    })?;
    let name = format!("{}: average pooling", numbers.name());
    compare(&name, &[9.5, 5., 5., 5.75], &net.run(&IMAGE)?, figures);
    net.finish()
}

/// A figure for each number that the slide gives.
fn compare(name: &str, wanted: &[f64], ours: &[f64], figures: &mut Vec<Figure>) {
    for (index, wanted) in wanted.iter().enumerate() {
        let ours = ours.get(index).copied().unwrap_or(f64::NAN);
        figures.push(Figure::exact(format!("{name} [{index}]"), *wanted, ours));
    }
}

/// One figure for a whole map: how many of its numbers differ.
fn whole(name: &str, wanted: &[f64], ours: &[f64], figures: &mut Vec<Figure>) {
    let differ = wanted.iter().zip(ours).filter(|(a, b)| a != b).count();
    let missing = wanted.len().abs_diff(ours.len());
    figures.push(Figure::exact(
        format!("{name}: numbers that differ"),
        0.0,
        (differ + missing) as f64,
    ));
}
