# Thin on purpose: each target is a line or two that calls the CLI, cargo or a script.

.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz performance

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## bring what this machine lacks
	scripts/setup

demo: setup ## the whole path once: train, quantize, run and fine-tune on an emulated Cortex-M4F (SHIFT=invert …)
	cargo run -q -p host -- demo $(if $(SHIFT),--shift $(SHIFT))

performance: setup ## measure all on emulated cores, and write docs/performance.md
	cargo run -q -p host -- bench --doc docs/performance.md

test: setup ## everything that the project tests
	cargo test --workspace --exclude firmware
	cargo test -p firmware
	cargo test -p nn-core --no-default-features
	cargo test -p nn-core --no-default-features --features link,micromath
	for feature in link libm micromath defmt; do cargo check -p nn-core --no-default-features --features $$feature || exit 1; done
	cargo check -p nn-core --all-features
	cargo check -p host --no-default-features
	cargo check -p host --no-default-features --features flash
	cargo check -p host --no-default-features --features micromath
	cargo check -p host --no-default-features --features zoo

fuzz: ## blobs, frames and recipes, made up by libFuzzer (SECONDS=60 for each)
	scripts/fuzz $(or $(SECONDS),60)
