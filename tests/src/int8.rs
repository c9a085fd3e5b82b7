//! The TensorFlow Lite int8 specification in wide integers.
