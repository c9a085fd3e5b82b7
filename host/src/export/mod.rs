//! From a checkpoint to a blob: calibration, quantization, memory plan, card.
