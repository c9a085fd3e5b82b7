//! Puts the model into the image, with its sizes as constants, and lays out the board's memory.

use std::{
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use nn_core::{
    link::FRAME_OVERHEAD,
    model::Model,
    tensor::{DType, Source},
    train::Loss,
};

#[path = "boards.rs"]
#[expect(
    unreachable_pub,
    reason = "the host's library, which reads it too, hands it on"
)]
mod boards;
use boards::{BOARDS, Board};

/// What an image holds in RAM besides arena, frame and stack: the log's buffer and the drivers.
const STATICS: usize = 1200;
/// What embeds when nobody says.
const DEFAULT_MODEL: &str = "../models/mnist-cnn-i8.mote";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=boards.rs");
    println!("cargo::rerun-if-env-changed=MOTE_MODEL");
    // On a workstation the library builds without board and model, for its tests.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return ExitCode::SUCCESS;
    }
    match lay_out() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn lay_out() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let board = board()?;
    println!("cargo::rustc-env=MOTE_BOARD={}", board.name);
    println!("cargo::rustc-env=MOTE_CORE={}", board.core);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(out.join(name), bytes).map_err(|error| format!("cannot write {name}: {error}"))
    };
    let (path, blob) = model()?;
    write("model.mote", &blob)?;
    write("model.rs", constants(board, &path, &blob)?.as_bytes())?;
    write("memory.x", memory(board).as_bytes())?;
    println!("cargo::rustc-link-search={}", out.display());
    for script in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo::rustc-link-arg-bins={script}");
    }
    Ok(())
}

fn board() -> Result<&'static Board, String> {
    let wanted: Vec<_> = BOARDS
        .iter()
        .filter(|board| {
            let feature = board.name.replace('-', "_").to_uppercase();
            env::var_os(format!("CARGO_FEATURE_BOARD_{feature}")).is_some()
        })
        .collect();
    let [board] = wanted.as_slice() else {
        let names: Vec<_> = BOARDS.iter().map(|board| board.name).collect();
        return Err(format!(
            "one board is wanted, found {}: pass `--features board-NAME` with one of {}",
            wanted.len(),
            names.join(", ")
        ));
    };
    let target = env::var("TARGET").unwrap_or_default();
    if target != board.target {
        return Err(format!(
            "board {} wants `--target {}`, found {target}",
            board.name, board.target
        ));
    }
    Ok(board)
}

fn model() -> Result<(PathBuf, Vec<u8>), String> {
    let path = match env::var_os("MOTE_MODEL") {
        Some(path) => PathBuf::from(path),
        None if Path::new(DEFAULT_MODEL).exists() => PathBuf::from(DEFAULT_MODEL),
        None => {
            return Err(
                "which model? Set MOTE_MODEL to the absolute path of a .mote blob, or let \
                 `mote run BLOB --on qemu` build the image; `mote export` makes blobs"
                    .into(),
            );
        }
    };
    println!("cargo::rerun-if-changed={}", path.display());
    let blob = fs::read(&path).map_err(|error| {
        format!(
            "cannot read the model {}: {error}; MOTE_MODEL wants the absolute path of a .mote blob",
            path.display()
        )
    })?;
    Ok((path, blob))
}

fn constants(board: &Board, path: &Path, blob: &[u8]) -> Result<String, String> {
    // `Model::load` wants a 16-byte boundary, which a Vec does not promise.
    let mut words = vec![0u128; blob.len().div_ceil(16)];
    for (word, bytes) in words.iter_mut().zip(blob.chunks(16)) {
        let mut padded = [0; 16];
        padded[..bytes.len()].copy_from_slice(bytes);
        *word = u128::from_ne_bytes(padded);
    }
    // SAFETY: `words` holds at least `blob.len()` bytes, all of them written.
    let aligned = unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), blob.len()) };
    let model = Model::load(aligned).map_err(|error| format!("{}: {error}", path.display()))?;

    let input = model.input(0).map_or(0, |tensor| tensor.bytes());
    let output = model.output(0).map_or(0, |tensor| tensor.bytes());
    let values = match model.train_spec() {
        Some(spec) if spec.loss() != Loss::CrossEntropy => output,
        _ => 0,
    };
    let arena = model.arena_infer().max(model.arena_train());
    let frame = input.max(64) + values + FRAME_OVERHEAD;

    let (flash, ram) = (board.flash.len as usize, board.ram.len as usize);
    if blob.len() > flash {
        return Err(format!(
            "{} wants {} bytes of flash, {} has {flash}: take a smaller model or quantize it",
            path.display(),
            blob.len(),
            board.name
        ));
    }
    let wanted = arena + frame + output + STATICS + board.stack as usize;
    if wanted > ram {
        return Err(format!(
            "{} wants {wanted} bytes of RAM (arena {arena}, frame {frame}, stack {}, other {}), {} \
             has {ram}: take a smaller model, quantize it or let fewer layers learn",
            path.display(),
            board.stack,
            STATICS + output,
            board.name
        ));
    }

    let mut code = String::new();
    for (name, value, doc) in [
        (
            "ARENA",
            arena,
            "Bytes of arena: for training when the model learns, else for inference.",
        ),
        (
            "FRAME_MAX",
            frame,
            "Bytes of the longest frame that the image takes.",
        ),
        (
            "VALUES",
            values / 4,
            "Numbers in a target given as values; 0 when targets are classes.",
        ),
    ] {
        let _ = writeln!(code, "/// {doc}\npub const {name}: usize = {value};");
    }
    code.push_str(&kernels(&model));
    code.push_str(
        "/// The blob, in flash.\npub static MODEL: &[u8] = \
         nn_core::include_model!(concat!(env!(\"OUT_DIR\"), \"/model.mote\"));\n",
    );
    Ok(code)
}

/// Just the operators and number types that the model names, and the engine that it wants.
fn kernels(model: &Model) -> String {
    let ops = model
        .nodes()
        .iter()
        .fold(0, |ops, node| ops | node.op.bit());
    let has = |dtype| {
        let mut tensors = model.tensors().iter();
        tensors.any(|tensor| tensor.dtype == dtype && tensor.source == Source::Activation)
    };
    let (f32, q16, i8) = (has(DType::F32), has(DType::Q16), has(DType::I8));
    let train = model.learns();
    let engine = if train {
        "train::Trainer"
    } else {
        "session::Session"
    };
    format!(
        "/// The operators and number types of the model.\n\
         #[derive(Debug)]\npub struct Kernels;\n\
         impl nn_core::ops::OpSet for Kernels {{\n\
         const OPS: u64 = {ops:#x};\n\
         const F32: bool = {f32};\nconst Q16: bool = {q16};\nconst I8: bool = {i8};\n\
         const TRAIN: bool = {train};\n}}\n\
         /// What runs it, or lets it learn.\n\
         pub type Engine = nn_core::{engine}<'static>;\n"
    )
}

/// The stack lies at the low end of RAM, below everything else: one that overflows runs out of RAM
/// and faults, where it would otherwise run into the arena.
fn memory(board: &Board) -> String {
    let Board {
        flash, ram, stack, ..
    } = board;
    format!(
        "MEMORY {{\n  FLASH : ORIGIN = {:#x}, LENGTH = {}\n  RAM : ORIGIN = {:#x}, LENGTH = {}\n}}\n\
         _stack_start = ORIGIN(RAM);\n_stack_end = ORIGIN(RAM) - {stack};\n",
        flash.origin,
        flash.len,
        ram.origin + stack,
        ram.len - stack,
    )
}
