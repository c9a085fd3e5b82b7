// Found only when libtorch's own torch/torch.h is not: see .cargo/config.toml.
#error "libtorch was not found in $LIBTORCH (by default .cache/libtorch). Run scripts/setup, or build without training: cargo build -p host --no-default-features --features flash"
// A missing header is fatal: it spares the reader a thousand errors that follow from the first.
#include <run scripts/setup>
