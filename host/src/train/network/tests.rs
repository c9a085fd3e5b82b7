use super::layers::{avg_pool, convolve, max_pool};
use super::*;
use std::path::Path;
use tch::Kind;

/// A recipe of these layers on MNIST, ending in ten logits.
fn recipe(layers: &str) -> Recipe {
    let text = format!(
        "name = \"t\"\n[data]\nset = \"mnist\"\n{layers}\n[[layer]]\ntype = \"flatten\"\n\
         [[layer]]\ntype = \"dense\"\nunits = 10\n[train]\nloss = \"mse\"\nepochs = 1\n\
         batch = 1\nseed = 1\noptimizer = {{ type = \"sgd\", learning_rate = 0.1 }}"
    );
    Recipe::parse(&text, Path::new("t.toml")).unwrap()
}

fn layer(kind: &str, input: [usize; 2], more: &str) -> ResolvedLayer {
    let recipe = recipe(&format!("[[layer]]\ntype = \"{kind}\"\n{more}"));
    ResolvedLayer {
        input_shape: vec![input[0], input[1], 1],
        ..recipe.layers()[0].clone()
    }
}

fn image(height: i64, width: i64) -> Tensor {
    Tensor::arange(height * width, (Kind::Float, Device::Cpu)).reshape([1, 1, height, width]) + 1.0
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.flatten(0, -1)).unwrap()
}

/// Windows [1,2]/[4,5] …, the last ones half outside: the padding goes after, and does not count.
#[test]
fn pools_pad_as_tensorflow_does() {
    let ResolvedLayer {
        kind: LayerKind::MaxPool2d(pool),
        ..
    } = layer("max_pool2d", [3, 3], "size = 2\npadding = \"same\"")
    else {
        panic!("no pool");
    };
    let resolved = layer("max_pool2d", [3, 3], "size = 2\npadding = \"same\"");
    let negative = -image(3, 3);
    let max = max_pool(&negative, &pool, &resolved).unwrap();
    assert_eq!(flat(&max), [-1.0, -3.0, -7.0, -9.0]);
    let avg = avg_pool(&image(3, 3), &pool, &resolved).unwrap();
    assert_eq!(flat(&avg), [3.0, 4.5, 7.5, 9.0]);
}

/// Windows of three, padded evenly: an average that does not count its padding.
#[test]
fn even_padding_does_not_count_either() {
    let more = "size = 3\nstride = 1\npadding = \"same\"";
    let resolved = layer("avg_pool2d", [2, 2], more);
    let LayerKind::AvgPool2d(pool) = &resolved.kind else {
        panic!("no pool")
    };
    let avg = avg_pool(&image(2, 2), pool, &resolved).unwrap();
    assert_eq!(flat(&avg), [2.5; 4]);
}

/// A kernel of four with all weights 1 sums what lies under it: one before, two after.
#[test]
fn an_even_kernel_pads_after() {
    let resolved = layer(
        "conv2d",
        [3, 3],
        "filters = 1\nkernel = [1, 4]\npadding = \"same\"",
    );
    let conv = resolved.kind.convolution(&resolved.input_shape).unwrap();
    let options = (Kind::Float, Device::Cpu);
    let weight = Tensor::ones([1, 1, 1, 4], options);
    let bias = Tensor::zeros([1], options);
    let sums = convolve(&image(3, 3), &weight, &bias, conv, &resolved.input_shape).unwrap();
    assert_eq!(
        flat(&sums),
        [6.0, 6.0, 5.0, 15.0, 15.0, 11.0, 24.0, 24.0, 17.0]
    );
}

/// A dense layer after a flatten sees row, column, channel, the channel fastest.
#[test]
fn flatten_is_in_hwc_order() {
    let recipe = recipe("[[layer]]\ntype = \"conv2d\"\nfilters = 2\nkernel = 1");
    let mut network = Network::new(&recipe, 0, Device::Cpu).unwrap();
    let options = (Kind::Float, Device::Cpu);
    let _no_grad = tch::no_grad_guard();
    // Channel 0 is the image, channel 1 is the image times 1000.
    network.parameters[0].tensor = Tensor::from_slice(&[1.0f32, 1000.0]).reshape([2, 1, 1, 1]);
    let pick = Tensor::zeros([10, 28 * 28 * 2], options);
    for (unit, input) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 56)] {
        let _ = pick.get(unit).get(input).fill_(1.0);
    }
    network.parameters[2].tensor = pick;
    let images = image(28, 28).reshape([1, 28, 28, 1]);
    let output = flat(&network.forward(&images, None).unwrap().heads[0]);
    assert_eq!(output[..5], [1.0, 1000.0, 2.0, 2000.0, 29.0]);
}

#[test]
fn dropout_keeps_the_mean_and_repeats() {
    let recipe = recipe("[[layer]]\ntype = \"dropout\"\nrate = 0.25");
    let network = Network::new(&recipe, 0, Device::Cpu).unwrap();
    let ones = Tensor::ones([100, 100], (Kind::Float, Device::Cpu));
    let draw = |step| {
        network
            .dropout(
                &ones,
                0.25,
                Chance {
                    seed: 1,
                    step,
                    shard: 0,
                },
                0,
            )
            .unwrap()
    };
    let mean = draw(0).mean(Kind::Float).double_value(&[]);
    // Six standard deviations: 6 · (4/3) · √(0.25 · 0.75 / 10 000) = 0.035.
    assert!((mean - 1.0).abs() < 0.035, "{mean}");
    assert_eq!(draw(0), draw(0));
    assert_ne!(draw(0), draw(1));
}

#[test]
fn first_weights_follow_from_the_seed_and_have_hes_variance() {
    let recipe =
        recipe("[[layer]]\ntype = \"conv2d\"\nfilters = 64\nkernel = 9\nactivation = \"relu\"");
    let weights =
        |seed| flat(&Network::new(&recipe, seed, Device::Cpu).unwrap().parameters[0].tensor);
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
    let variance = weights(1).iter().map(|w| w * w).sum::<f32>() / (64.0 * 81.0);
    // Of 5184 uniform values: standard deviation of w² is 0.894 σ², so six of the mean are 7.5 %.
    assert!((variance / (2.0 / 81.0) - 1.0).abs() < 0.075, "{variance}");
}

/// Mean and variance of a dense layer's 784 · 10 weights, and its bias.
fn beginning(init: &str) -> ([f64; 2], Vec<f32>) {
    let text = recipe("")
        .text
        .replace("units = 10", &format!("units = 10\ninit = {init}"));
    let recipe = Recipe::parse(&text, Path::new("t.toml")).unwrap();
    let network = Network::new(&recipe, 1, Device::Cpu).unwrap();
    let weights = network.parameters[0].tensor.to_kind(Kind::Double);
    let [mean, variance] =
        [weights.mean(Kind::Double), weights.var(false)].map(|x| x.double_value(&[]));
    ([mean, variance], flat(&network.parameters[1].tensor))
}

/// Of 7840 numbers of deviation σ the mean's is σ / 88.5; the variance's is at most √2 σ² / 88.5: six of them.
#[test]
fn weights_begin_with_the_mean_and_variance_that_the_recipe_names() {
    for (init, mean, variance) in [
        ("\"normal\"", 0.0, 0.05 * 0.05),
        ("{ type = \"normal\", mean = 3, deviation = 2 }", 3.0, 4.0),
        ("\"uniform\"", 0.0, 0.1 * 0.1 / 12.0),
        ("{ type = \"uniform\", low = 1, high = 3 }", 2.0, 1.0 / 3.0),
        ("\"glorot\"", 0.0, 2.0 / 794.0),
        (
            "{ type = \"glorot\", distribution = \"normal\" }",
            0.0,
            2.0 / 794.0,
        ),
        ("\"he\"", 0.0, 2.0 / 784.0),
        (
            "{ type = \"he\", distribution = \"normal\" }",
            0.0,
            2.0 / 784.0,
        ),
    ] {
        let (found, bias) = beginning(init);
        let deviation = f64::sqrt(variance);
        assert!(
            (found[0] - mean).abs() < 6.0 * deviation / 88.5,
            "{init}: {found:?}"
        );
        assert!(
            (found[1] / variance - 1.0).abs() < 6.0 * 1.415 / 88.5,
            "{init}: {found:?}"
        );
        assert_eq!(bias, [0.0; 10]);
    }
    assert_eq!(beginning("\"zeros\""), ([0.0; 2], vec![0.0; 10]));
    assert_eq!(
        beginning("{ type = \"normal\", deviation = 0 }").0,
        [0.0; 2]
    );
}

/// A normal distribution has 0.27 % beyond three deviations, an even one nothing.
#[test]
fn a_normal_beginning_has_tails() {
    let text = recipe("")
        .text
        .replace("units = 10", "units = 10\ninit = \"normal\"");
    let recipe = Recipe::parse(&text, Path::new("t.toml")).unwrap();
    let weights = flat(&Network::new(&recipe, 1, Device::Cpu).unwrap().parameters[0].tensor);
    let far = weights.iter().filter(|weight| weight.abs() > 0.15).count();
    // Of 7840 a mean of 21.2 with a deviation of 4.6: within six of them.
    assert!((1..49).contains(&far), "{far}");
}

/// Recurrent layers: both kernels, while biases begin as 0; gains and slopes stay.
#[test]
fn what_is_no_weight_is_not_drawn() {
    let layers = "[[layer]]\ntype = \"batch_norm\"\n[[layer]]\ntype = \"reshape\"\nshape = [28, 28]\n\
        [[layer]]\ntype = \"gru\"\nunits = 4\n[[layer]]\ntype = \"prelu\"";
    let text = recipe(layers)
        .text
        .replace("epochs = 1", "epochs = 1\ninit = \"normal\"");
    let recipe = Recipe::parse(&text, Path::new("t.toml")).unwrap();
    let network = Network::new(&recipe, 1, Device::Cpu).unwrap();
    for Parameter { name, tensor } in &network.parameters {
        let values = flat(tensor);
        match &**name {
            "batch_norm_1.weight" => assert_eq!(values, [1.0]),
            "prelu_1.weight" => assert_eq!(values, [0.25; 4]),
            name if name.contains("bias") => assert!(values.iter().all(|&b| b == 0.0), "{name}"),
            name => assert!(values.iter().all(|&w| w != 0.0 && w.abs() < 0.3), "{name}"),
        }
    }
}
