// PyTorch's answers for losses and optimizers, as the Rust constants of nn-core/src/train/tests/golden.rs.
//
//     g++ -std=c++20 -O1 -I$LIBTORCH/include -I$LIBTORCH/include/torch/csrc/api/include tests/golden/train.cpp \
//         -L$LIBTORCH/lib -Wl,-rpath,$LIBTORCH/lib -ltorch_cpu -ltorch -lc10 -o train
//     ./train > nn-core/src/train/tests/golden.rs
//
// All in f64, so that the error of a comparison is nn-core's.
#include <torch/torch.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>

namespace F = torch::nn::functional;
using torch::Tensor;

static Tensor tensor(std::vector<double> values) { return torch::tensor(values, torch::kFloat64); }

// As a Rust literal: 17 digits are an f64.
static std::string number(double value) {
    char digits[32];
    snprintf(digits, sizeof digits, "%.17g", value);
    std::string text = digits;
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

static void list(const Tensor &values) {
    printf("[");
    auto flat = values.flatten();
    for (int64_t i = 0; i < flat.numel(); i++)
        printf("%s%s", i ? ", " : "", number(flat[i].item<double>()).c_str());
    printf("]");
}

// The loss of `inputs` (logits, or an output), and its gradient there.
static void loss(const char *name, Tensor inputs, std::function<Tensor(Tensor)> f) {
    inputs.requires_grad_(true);
    Tensor value = f(inputs);
    value.backward();
    printf("pub(super) const %s: (f64, &[f64]) = (%s, &", name, number(value.item<double>()).c_str());
    list(inputs.grad());
    printf(");\n");
}

using Optimizer = std::shared_ptr<torch::optim::Optimizer>;

// The weights after each of six steps with fixed gradients.
static void steps(const char *name, std::function<Optimizer(std::vector<Tensor>)> make,
                  std::function<void(std::vector<Tensor>)> clip = [](auto) {}) {
    const double gradients[6][3] = {{0.5, -0.25, 0.125},  {0.75, 0.5, 0.0},   {-0.5, 0.25, -0.0625},
                                    {1.0, -1.0, 0.03125}, {0.25, 0.25, -0.5}, {-2.0, 3.0, 0.0078125}};
    Tensor w = tensor({0.5, -1.0, 0.25}).requires_grad_(true);
    Optimizer optimizer = make({w});
    printf("pub(super) const %s: [[f64; 3]; 6] = [", name);
    for (auto &g : gradients) {
        w.mutable_grad() = tensor({g[0], g[1], g[2]});
        clip({w});
        optimizer->step();
        list(w);
        printf(", ");
    }
    printf("];\n");
}

int main() {
    printf("//! PyTorch %s's answers; written by `tests/golden/train.cpp`, which says what each is.\n", TORCH_VERSION);
    printf("#![allow(clippy::excessive_precision, clippy::unreadable_literal)]\n\n");

    Tensor logits = tensor({0.5, -1.25, 2.0, 0.0});
    Tensor class_2 = torch::tensor({2}, torch::kInt64);
    Tensor spread = tensor({0.125, 0.25, 0.5, 0.125});
    Tensor weights = tensor({1.0, 0.5, 2.0, 0.25});
    Tensor yes = tensor({1.0, 0.0, 0.25, 1.0});
    loss("CROSS_ENTROPY", logits.clone(), [&](Tensor x) { return F::cross_entropy(x.unsqueeze(0), class_2); });
    loss("CROSS_ENTROPY_SPREAD", logits.clone(), [&](Tensor x) {
        auto options = F::CrossEntropyFuncOptions().weight(weights);
        return F::cross_entropy(x.unsqueeze(0), spread.unsqueeze(0), options);
    });
    // Rows 0, 2 of three: the middle one is ignored.
    Tensor sequence = torch::cat({logits, logits.flip(0), logits * 0.5}).reshape({3, 4});
    Tensor classes = torch::tensor({2, -100, 1}, torch::kInt64);
    loss("CROSS_ENTROPY_STEPS", sequence.clone(), [&](Tensor x) { return F::cross_entropy(x, classes); });
    // Weights multiply, and the mean is over the steps: the sum, divided by 2.
    loss("CROSS_ENTROPY_WEIGHTED_STEPS", sequence.clone(), [&](Tensor x) {
        auto options = F::CrossEntropyFuncOptions().weight(weights).reduction(torch::kSum);
        return F::cross_entropy(x, classes, options) / 2;
    });
    loss("BINARY", logits.clone(), [&](Tensor x) { return F::binary_cross_entropy_with_logits(x, yes); });
    loss("BINARY_WEIGHTED", logits.clone(), [&](Tensor x) {
        return F::binary_cross_entropy_with_logits(
            x, yes, F::BinaryCrossEntropyWithLogitsFuncOptions().weight(weights));
    });
    loss("SQUARED", logits.clone(), [&](Tensor x) { return F::mse_loss(x, yes); });
    loss("ABSOLUTE", logits.clone(), [&](Tensor x) { return F::l1_loss(x, yes); });
    loss("HUBER", logits.clone(), [&](Tensor x) {
        return F::huber_loss(x, yes, F::HuberLossFuncOptions().delta(0.75));
    });
    loss("SQUARED_WEIGHTED", logits.clone(), [&](Tensor x) { return (weights * (x - yes).square()).mean(); });

    using namespace torch::optim;
    steps("SGD", [](auto w) { return std::make_shared<SGD>(w, SGDOptions(0.125)); });
    steps("SGD_DECAY", [](auto w) { return std::make_shared<SGD>(w, SGDOptions(0.125).weight_decay(0.25)); });
    steps("MOMENTUM", [](auto w) {
        return std::make_shared<SGD>(w, SGDOptions(0.125).momentum(0.9).weight_decay(0.25));
    });
    steps("NESTEROV", [](auto w) {
        return std::make_shared<SGD>(w, SGDOptions(0.125).momentum(0.9).nesterov(true));
    });
    steps("ADAM", [](auto w) { return std::make_shared<Adam>(w, AdamOptions(0.125)); });
    steps("ADAM_DECAY", [](auto w) { return std::make_shared<Adam>(w, AdamOptions(0.125).weight_decay(0.25)); });
    steps("ADAM_W", [](auto w) { return std::make_shared<AdamW>(w, AdamWOptions(0.125).weight_decay(0.25)); });
    steps("ADAM_EPSILON", [](auto w) { return std::make_shared<Adam>(w, AdamOptions(0.125).eps(0.25)); });
    steps("RMS_PROP_EPSILON", [](auto w) { return std::make_shared<RMSprop>(w, RMSpropOptions(0.125).eps(0.25)); });
    steps("RMS_PROP", [](auto w) { return std::make_shared<RMSprop>(w, RMSpropOptions(0.125)); });
    steps(
        "CLIP_NORM", [](auto w) { return std::make_shared<SGD>(w, SGDOptions(0.125)); },
        [](auto w) { torch::nn::utils::clip_grad_norm_(w, 0.75); });
    steps(
        "CLIP_VALUE", [](auto w) { return std::make_shared<SGD>(w, SGDOptions(0.125).momentum(0.9)); },
        [](auto w) { torch::nn::utils::clip_grad_value_(w, 0.375); });
}
