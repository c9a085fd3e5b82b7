//! Outputs and gradients by libtorch 2.13.0.
//!
//! ```cpp
//! Tensor ramp(std::vector<int64_t> shape, int first) {
//!   auto t = torch::empty(shape);
//!   for (int64_t i = 0; i < t.numel(); i++) t.data_ptr<float>()[i] = float((i + first) * 37 % 101 - 50) / 64;
//!   return t;
//! }
//! void run(int gates, std::function<Tensor(Tensor, Tensor, std::vector<Tensor>)> layer) {
//!   int64_t I = 2, H = 3, T = 4, C = gates * H;
//!   auto x = ramp({T, 1, I}, 1).requires_grad_();
//!   auto W = ramp({I, C}, 2).requires_grad_(), U = ramp({H, C}, 3).requires_grad_();
//!   auto b = ramp({C}, 4), rb = ramp({C}, 5).requires_grad_();
//!   auto y = layer(x, torch::zeros({1, 1, H}), {W.t(), U.t(), b, rb});
//!   (y * ramp({T, 1, H}, 6)).sum().backward();
//!   print("y", y); print("x", x.grad()); print("kernel", W.grad()); print("recurrent", U.grad());
//!   print("recurrent_bias", rb.grad());
//! }
//! run(1, [](auto x, auto h, auto w) { return std::get<0>(torch::rnn_tanh(x, h, w, true, 1, 0, false, false, false)); });
//! run(4, [](auto x, auto h, auto w) { return std::get<0>(torch::lstm(x, {h, h}, w, true, 1, 0, false, false, false)); });
//! run(3, [](auto x, auto h, auto w) { return std::get<0>(torch::gru(x, h, w, true, 1, 0, false, false, false)); });
//! ```

use super::*;

struct Golden {
    y: &'static [f64],
    x: &'static [f64],
    kernel: &'static [f64],
    recurrent: &'static [f64],
    recurrent_bias: &'static [f64],
}

const RNN: Golden = Golden {
    y: &[
        0.5423098,
        0.01367102,
        -0.2993795,
        -0.02669177,
        0.3554336,
        0.1801644,
        0.2244543,
        0.0381597,
        -0.3253997,
        0.6826934,
        -0.3976941,
        0.09484894,
    ],
    x: &[
        -0.1555607, -0.0760415, -0.2411309, -0.2845229, -0.2540423, -0.3040983, -0.2845827,
        -0.2738626,
    ],
    kernel: &[
        -0.01759136,
        -0.03339178,
        -0.04151032,
        0.01805958,
        0.1944444,
        0.1886963,
    ],
    recurrent: &[
        -0.07141861,
        0.2831045,
        -0.3383396,
        -0.1374619,
        0.08969042,
        -0.06727324,
        -0.02359527,
        -0.2233477,
        0.2500408,
    ],
    recurrent_bias: &[-0.9782448, 0.9056559, 0.05205333],
};

const LSTM: Golden = Golden {
    y: &[
        -0.1570894,
        -0.1316077,
        -0.01232631,
        -0.3151923,
        -0.1908821,
        0.05494881,
        -0.1636886,
        -0.1527808,
        0.2153951,
        -0.2321956,
        -0.2360495,
        0.1289304,
    ],
    x: &[
        -0.0572123,
        0.01081726,
        -0.1171843,
        0.1657116,
        -0.01570814,
        -0.01043362,
        -0.02096242,
        0.06138771,
    ],
    kernel: &[
        -0.02156457,
        -0.003316182,
        -0.0295549,
        -0.005609883,
        -0.008498368,
        -0.01145115,
        0.03161761,
        -0.0327031,
        0.1113859,
        -0.02623908,
        -0.008951362,
        -0.0073722,
        0.01110008,
        -0.007922721,
        0.04856794,
        -0.001609665,
        -0.005419683,
        -0.005355484,
        -0.01710775,
        0.04225953,
        -0.03507665,
        0.002678456,
        -0.03334506,
        0.0002239423,
    ],
    recurrent: &[
        -0.003715553,
        0.01956608,
        0.04084216,
        -0.00245896,
        0.01451136,
        0.006434523,
        0.01246163,
        -0.02723794,
        0.09050311,
        -0.009311992,
        0.03190373,
        0.01602254,
        -0.003120647,
        0.01410042,
        0.02654903,
        -0.001889011,
        0.0106784,
        0.004658559,
        0.009087699,
        -0.02187878,
        0.07163018,
        -0.007164808,
        0.02466259,
        0.01145031,
        -0.000300042,
        -0.007357158,
        -0.006216633,
        -0.0000066792,
        -0.006946111,
        -0.004412757,
        -0.0004947877,
        0.01241662,
        -0.02885236,
        -0.0000374785,
        -0.01848582,
        -0.005955484,
    ],
    recurrent_bias: &[
        0.05621,
        -0.1086733,
        -0.1534413,
        0.0133005,
        -0.06524739,
        -0.02657094,
        -0.1347308,
        0.1969478,
        -0.4843937,
        0.07376748,
        -0.1638413,
        -0.07251006,
    ],
};

const GRU: Golden = Golden {
    y: &[
        -0.1536777,
        -0.2313258,
        0.1160277,
        -0.2729207,
        -0.3950824,
        0.003280111,
        -0.172306,
        -0.6271243,
        -0.04654659,
        -0.248487,
        -0.6796458,
        0.213316,
    ],
    x: &[
        -0.2391739,
        0.1021625,
        -0.3057725,
        -0.476131,
        -0.1981035,
        -0.3813698,
        -0.05278976,
        -0.01061318,
    ],
    kernel: &[
        -0.01182129,
        0.002120137,
        0.0137053,
        0.0247699,
        -0.02993057,
        0.03635327,
        0.06951181,
        -0.07213243,
        0.1264123,
        0.009596281,
        -0.009713331,
        0.03223901,
        -0.01864603,
        0.01431825,
        0.05884515,
        -0.05031495,
        0.1065658,
        0.1924789,
    ],
    recurrent: &[
        -0.002009057,
        0.01065571,
        0.04021182,
        0.001731255,
        -0.03668837,
        0.002797641,
        0.008823514,
        -0.03918,
        0.1000509,
        -0.003003519,
        0.02369634,
        0.0651722,
        0.002686667,
        -0.05945359,
        -0.02123648,
        0.01314979,
        -0.07916088,
        0.1664718,
        0.001250798,
        -0.001104515,
        -0.01059621,
        -0.002346624,
        0.008780409,
        -0.01045071,
        -0.004961541,
        0.009202295,
        -0.02920385,
    ],
    recurrent_bias: &[
        0.04062815,
        -0.06281631,
        -0.1954985,
        -0.06110416,
        0.2957226,
        -0.01150648,
        -0.1342518,
        0.3198181,
        -0.5041263,
    ],
};

/// Exact in f32.
fn ramp(count: usize, first: usize) -> Vec<f32> {
    let value = |i: usize| ((i + first) * 37 % 101) as f32 - 50.0;
    (0..count).map(|i| value(i) / 64.0).collect()
}

fn compare(kind: Kind, golden: &Golden) {
    let walk = Walk {
        steps: 4,
        inputs: 2,
        units: 3,
        ..PLAIN
    };
    let columns = kind.gates() * walk.units;
    let (mut bias, mut recurrent_bias) = (ramp(columns, 4), ramp(columns, 5));
    if !kind.has_recurrent_bias() {
        for (bias, more) in bias.iter_mut().zip(recurrent_bias.drain(..)) {
            *bias += more;
        }
    }
    let numbers = Numbers {
        x: ramp(walk.x_len(), 1),
        kernel: ramp(2 * columns, 2),
        recurrent: ramp(3 * columns, 3),
        bias,
        recurrent_bias,
        state: vec![0.0; kind.states() * walk.units],
    };
    let delta = ramp(walk.y_len(), 6);
    let below = Some(Activation::None);
    let (y, after) = train(kind, &walk, &numbers, &delta, below, ALL, 1.0);
    let lost = gradients::found(&numbers, &after);
    let context = |part| format!("{part} of {kind:?}");
    // f32 on both sides, sums of a few numbers below 1.
    const TOLERANCE: f64 = 1e-6;
    assert_close(&wide(&y), golden.y, TOLERANCE, &context("y"));
    assert_close(&lost.x, golden.x, TOLERANCE, &context("x"));
    assert_close(&lost.kernel, golden.kernel, TOLERANCE, &context("kernel"));
    assert_close(
        &lost.recurrent,
        golden.recurrent,
        TOLERANCE,
        &context("recurrent"),
    );
    let bias = if kind.has_recurrent_bias() {
        &lost.recurrent_bias
    } else {
        &lost.bias
    };
    assert_close(bias, golden.recurrent_bias, TOLERANCE, &context("bias"));
}

#[test]
fn rnn() {
    compare(Kind::Rnn(Activation::Tanh), &RNN);
}

#[test]
fn lstm() {
    compare(Kind::Lstm, &LSTM);
}

#[test]
fn gru() {
    compare(Kind::Gru { reset_after: true }, &GRU);
}
