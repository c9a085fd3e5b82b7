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
    model::{Model, layout},
    program,
    session::Session,
    tensor::{DType, Source},
    train::{Loss, Trainer},
};

#[path = "boards.rs"]
#[expect(
    unreachable_pub,
    reason = "the host's library, which reads it too, hands it on"
)]
mod boards;
use boards::{BOARDS, Board, Region};
#[path = "build/agent.rs"]
mod agent;
#[path = "src/archive.rs"]
#[expect(unreachable_pub, reason = "a module of the library, too")]
mod archive;

/// What an image holds in RAM besides arena, frame and stack: the log's buffer and the drivers.
const STATICS: usize = 1200;
/// What the store of an image that learns holds in RAM.
const STORE: usize = 320;
/// What embeds when nobody says.
const DEFAULT_MODEL: &str = "../models/mnist-cnn-i8.mote";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=boards.rs");
    println!("cargo::rerun-if-changed=src/archive.rs");
    println!("cargo::rerun-if-env-changed=MOTE_MODEL");
    println!("cargo::rerun-if-env-changed=MOTE_CASES");
    println!("cargo::rerun-if-env-changed=MOTE_TRAIN");
    println!("cargo::rerun-if-env-changed=MOTE_FRAME");
    println!("cargo::rerun-if-env-changed=MOTE_RAM");
    println!("cargo::rerun-if-env-changed=MOTE_KEY");
    println!("cargo::rerun-if-env-changed=MOTE_OPS");
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
    let board = &board()?;
    println!("cargo::rustc-env=MOTE_BOARD={}", board.name);
    println!("cargo::rustc-env=MOTE_CORE={}", board.core);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(out.join(name), bytes).map_err(|error| format!("cannot write {name}: {error}"))
    };
    link(&out);
    write("board.rs", module(board)?.as_bytes())?;
    if env::var_os("CARGO_FEATURE_EMULATED").is_some() {
        // cortex-m-rt includes it; boards with a crate of their own have that one's.
        write("device.x", b"/* No interrupt is served. */\n")?;
    }
    if env::var_os("CARGO_FEATURE_AGENT").is_some() {
        let board = &agent::board(board)?;
        write("agent.rs", agent::constants(board)?.as_bytes())?;
        write("memory.x", memory(board, board.agents_code()).as_bytes())?;
        return Ok(());
    }
    // An app embeds one of the two. Without cases the model is the only one; without a model the first case is it.
    let cases = file("MOTE_CASES", "an archive of blobs")?.map(|(path, archive)| {
        let blobs = archive::blobs(&archive).map(<[u8]>::to_vec);
        (path, blobs.collect())
    });
    let (path, blob) = match (&cases, file("MOTE_MODEL", "a .mote blob")?) {
        (_, Some(model)) => model,
        (Some((path, cases)), None) => {
            let cases: &Vec<Vec<u8>> = cases;
            let first = cases.first().ok_or("MOTE_CASES holds no blob")?;
            (path.clone(), first.clone())
        }
        (None, None) => default_model()?,
    };
    write("model.mote", &blob)?;
    write("model.rs", constants(board, &path, &blob)?.as_bytes())?;
    let keeps = cases.is_none() && learns(&Aligned::new(&blob).load(&path)?);
    let (path, cases) = cases.unwrap_or_else(|| (path, vec![blob]));
    let cases: Vec<&[u8]> = cases.iter().map(Vec::as_slice).collect();
    let mut archive = Vec::new();
    archive::pack(&cases, |bytes| archive.extend_from_slice(bytes));
    write("cases.bin", &archive)?;
    write("cases.rs", case_constants(board, &path, &cases)?.as_bytes())?;
    write("memory.x", memory(board, board.code(keeps)).as_bytes())?;
    Ok(())
}

/// How images are linked, by the scripts in `out`.
fn link(out: &Path) {
    println!("cargo::rustc-link-search={}", out.display());
    for script in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo::rustc-link-arg-bins={script}");
    }
}

/// The board; MOTE_RAM is the RAM that it has, where that is not its own.
fn board() -> Result<Board, String> {
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
    let mut board = **board;
    if let Some(len) = env::var_os("MOTE_RAM") {
        let len = len.to_str().and_then(|len| len.parse().ok());
        board.ram.len = len
            .filter(|len| *len > board.stack)
            .ok_or("MOTE_RAM wants a number of bytes, more than the stack's")?;
    }
    Ok(board)
}

/// What the library includes: the module of the board's file, which is named after it.
fn module(board: &Board) -> Result<String, String> {
    let root = env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let name = format!("{}.rs", board.name.replace('-', "_"));
    let path = PathBuf::from(root).join("src/boards").join(name);
    if !path.exists() {
        let path = path.display();
        return Err(format!(
            "board {} wants a file {path}: docs/porting.md",
            board.name
        ));
    }
    Ok(format!("#[path = {path:?}]\nmod board;\n"))
}

/// The file that an environment variable names.
fn file(variable: &str, what: &str) -> Result<Option<(PathBuf, Vec<u8>)>, String> {
    let Some(path) = env::var_os(variable).map(PathBuf::from) else {
        return Ok(None);
    };
    println!("cargo::rerun-if-changed={}", path.display());
    let bytes = fs::read(&path).map_err(|error| {
        format!(
            "cannot read {}: {error}; {variable} wants the absolute path of {what}",
            path.display()
        )
    })?;
    Ok(Some((path, bytes)))
}

fn default_model() -> Result<(PathBuf, Vec<u8>), String> {
    println!("cargo::rerun-if-changed={DEFAULT_MODEL}");
    let blob = fs::read(DEFAULT_MODEL).map_err(|_| {
        "which model? Set MOTE_MODEL to the absolute path of a .mote blob, or let \
         `mote run BLOB --on qemu` build the image; `mote export` makes blobs"
    })?;
    Ok((DEFAULT_MODEL.into(), blob))
}

/// A blob on the 16-byte boundary that `Model::load` wants, which a Vec does not promise.
struct Aligned(Vec<u128>, usize);

impl Aligned {
    fn new(blob: &[u8]) -> Self {
        let words = blob.chunks(16).map(|bytes| {
            let mut padded = [0; 16];
            padded[..bytes.len()].copy_from_slice(bytes);
            u128::from_ne_bytes(padded)
        });
        Aligned(words.collect(), blob.len())
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let Aligned(words, len) = self;
        // SAFETY: `words` holds at least `len` bytes, all of them written, and any bits are a number.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), *len) }
    }

    fn load(&self, path: &Path) -> Result<Model<'_>, String> {
        let Aligned(words, len) = self;
        // SAFETY: `words` holds at least `len` bytes, all of them written.
        let bytes = unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), *len) };
        Model::load(bytes).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The most outputs, in all, that a model's targets may need room for.
fn outputs(model: &Model) -> usize {
    let count = model.outputs().as_slice().len();
    let outputs = (0..count).filter_map(|index| model.output(index));
    outputs.map(|tensor| tensor.elements()).sum()
}

/// Whether the board's core has kernels for the layout of the model's weights.
fn check_layout(board: &Board, path: &Path, model: &Model) -> Result<(), String> {
    let (known, name, target) = match board.has_dsp() {
        true => (layout::ARMV7EM, "armv7em", "m4"),
        false => (layout::ARMV7M, "armv7m", "m3"),
    };
    let found = model.header().layout;
    if [layout::PLAIN, known].contains(&found) {
        return Ok(());
    }
    Err(format!(
        "{}: weights layout {found}; the kernels of {} know layouts 0 (plain) and {known} ({name}): \
         export the model with --for {target}",
        path.display(),
        board.core
    ))
}

fn case_constants(board: &Board, path: &Path, cases: &[&[u8]]) -> Result<String, String> {
    let aligned: Vec<_> = cases.iter().map(|blob| Aligned::new(blob)).collect();
    let models = aligned.iter().map(|blob| blob.load(path));
    let models = models.collect::<Result<Vec<_>, _>>()?;
    for model in &models {
        check_layout(board, path, model)?;
    }
    let arenas = models.iter().map(|m| m.arena_infer().max(m.arena_train()));
    let arena = arenas.max().unwrap_or(0);
    let room = models.iter().map(outputs).max().unwrap_or(0);
    let wanted = arena + 4 * room + STATICS + board.stack as usize;
    let ram = board.ram.len as usize;
    if wanted > ram {
        // The image of a single model that is no case must build all the same.
        println!(
            "cargo::warning={}: the cases want {wanted} bytes of RAM, {} has {ram}",
            path.display(),
            board.name
        );
    }
    let mut code = format!(
        "/// Bytes of arena of the largest case.\npub const ARENA: usize = {arena};\n\
         /// Outputs of the case with the most.\npub const ROOM: usize = {room};\n"
    );
    code.push_str(&kernels(&models));
    code.push_str(
        "/// The archive, in flash.\npub static CASES: &[u8] = \
         nn_core::include_model!(concat!(env!(\"OUT_DIR\"), \"/cases.bin\"));\n",
    );
    Ok(code)
}

fn constants(board: &Board, path: &Path, blob: &[u8]) -> Result<String, String> {
    let aligned = Aligned::new(blob);
    let model = aligned.load(path)?;
    check_layout(board, path, &model)?;

    let input = model.input(0).map_or(0, |tensor| tensor.bytes());
    let output = model.output(0).map_or(0, |tensor| tensor.bytes());
    let values = match model.train_spec() {
        Some(spec) if learns(&model) && spec.loss() != Loss::CrossEntropy => output,
        _ => 0,
    };
    let program = program(&model).map_err(|error| format!("{}: {error}", path.display()))?;
    let arena = program.arena;
    let frame = input.max(64) + values + FRAME_OVERHEAD;

    let flash = board.code(learns(&model)).len as usize;
    let ram = board.ram.len as usize;
    if blob.len() > flash {
        return Err(format!(
            "{} wants {} bytes of flash, {} has {flash}: take a smaller model or quantize it",
            path.display(),
            blob.len(),
            board.name
        ));
    }
    // An app that serves nobody has neither a frame nor a copy of the output: MOTE_FRAME is 0.
    let served = match env::var("MOTE_FRAME").as_deref() {
        Ok("0") => [0, 0],
        _ => [frame, output],
    };
    let statics = STATICS + if learns(&model) { STORE } else { 0 };
    let wanted = arena + served[0] + served[1] + statics + board.stack as usize;
    if wanted > ram {
        return Err(format!(
            "{} wants {wanted} bytes of RAM (arena {arena}, frame {}, stack {}, other {}), {} \
             has {ram}: take a smaller model, quantize it or let fewer layers learn",
            path.display(),
            served[0],
            board.stack,
            statics + served[1],
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
    let header = model.header();
    let _ = writeln!(
        code,
        "/// What the device says about the model.\n\
         pub const CARD: crate::server::ModelCard = crate::server::ModelCard {{\n\
         name: {:?},\ncrc32: {:#x},\narena: [{}, {}],\ninput_len: {input},\noutput_len: {output},\n}};",
        model.name(),
        header.crc,
        header.arena_infer,
        header.arena_train,
    );
    let inputs = (0..model.inputs().as_slice().len()).filter_map(|index| model.input(index));
    let inputs: Vec<_> = inputs.map(|input| input.dtype).collect();
    let _ = writeln!(
        code,
        "/// The number types of its inputs.\npub const INPUTS: &[nn_core::tensor::DType] = \
         &{{ use nn_core::tensor::DType::*; {inputs:?} }};"
    );
    let [start, end] = board.store.map_or([0; 2], |store| {
        let start = store.origin - board.flash.origin;
        [start, start + store.len]
    });
    let _ = writeln!(
        code,
        "/// Where what is learnt is kept, from the start of the chip's flash.\n\
         pub const STORE: core::ops::Range<u32> = {start:#x}..{end:#x};"
    );
    code.push_str(&kernels(&[model]));
    code.push_str(
        "/// The blob, in flash.\npub static MODEL: &[u8] = \
         nn_core::include_model!(concat!(env!(\"OUT_DIR\"), \"/model.mote\"));\n",
    );
    let Program {
        kind,
        source,
        engine,
        ..
    } = program;
    // Inline, so that generic kernels are made in the app that calls it, of which they are part: made in the library,
    // which may have other callers, less is inlined, and runs take more stack.
    let _ = writeln!(
        code,
        "/// Its steps.\npub const PROGRAM: nn_core::program::{kind} = {source};\n{engine}"
    );
    Ok(code)
}

/// The source of a model's steps, and of what runs them.
struct Program {
    kind: &'static str,
    source: String,
    /// Bytes of arena.
    arena: usize,
    engine: &'static str,
}

fn program(model: &Model) -> Result<Program, nn_core::SetupError> {
    let bytes = model.arena_infer().max(model.arena_train());
    let mut arena = Aligned(vec![0; bytes.div_ceil(16)], bytes);
    let arena = arena.bytes_mut();
    if learns(model) {
        let trainer = Trainer::new(*model, arena)?;
        let program = program::TrainSource::new(&trainer);
        return Ok(Program {
            kind: "TrainProgram",
            source: program.to_string(),
            arena: program.forward().arena(),
            engine: "/// What lets the model learn.\n\
                     pub type Engine = nn_core::train::Trainer<'static>;\n\
                     /// Sets it up.\n#[inline]\n\
                     pub fn engine(arena: &'static mut [u8]) \
                     -> Result<Engine, crate::engine::Fault> {\n\
                     crate::engine::trainer::<Kernels>(MODEL, const { &PROGRAM }, arena)\n}\n",
        });
    }
    let session = Session::new(*model, arena)?;
    let program = program::Source::new(&session);
    Ok(Program {
        kind: "Program",
        source: program.to_string(),
        arena: program.arena(),
        engine: "/// What runs the model.\npub type Engine = nn_core::program::Runner<'static>;\n\
                 /// Sets it up.\n#[inline]\n\
                 pub fn engine(arena: &'static mut [u8]) \
                 -> Result<Engine, nn_core::program::ProgramError> {\n\
                 nn_core::program::Runner::new(const { &PROGRAM }, MODEL, arena)\n}\n",
    })
}

/// Whether a model learns in this image: it has a plan, and MOTE_TRAIN is not 0.
fn learns(model: &Model) -> bool {
    model.learns() && env::var("MOTE_TRAIN").as_deref() != Ok("0")
}

/// Just the operators and number types that the models name.
fn kernels(models: &[Model]) -> String {
    let nodes = models.iter().flat_map(|model| model.nodes());
    let ops = nodes.fold(0, |ops, node| ops | node.op.bit());
    let has = |dtype| {
        let mut tensors = models.iter().flat_map(|model| model.tensors());
        tensors.any(|tensor| tensor.dtype == dtype && tensor.source == Source::Activation)
    };
    let (f32, q16, i8) = (has(DType::F32), has(DType::Q16), has(DType::I8));
    let train = models.iter().any(learns);
    format!(
        "/// The operators and number types that are linked in.\n\
         #[derive(Debug)]\npub struct Kernels;\n\
         impl nn_core::ops::OpSet for Kernels {{\n\
         const OPS: u64 = {ops:#x};\n\
         const F32: bool = {f32};\nconst Q16: bool = {q16};\nconst I8: bool = {i8};\n\
         const TRAIN: bool = {train};\n}}\n"
    )
}

/// The stack lies at the low end of RAM, below everything else: one that overflows runs out of RAM
/// and faults, where it would otherwise run into the arena.
fn memory(board: &Board, flash: Region) -> String {
    let Board {
        ram, stack, boot, ..
    } = board;
    let (regions, sections) = match boot {
        0 => (String::new(), ""),
        boot => (
            format!(
                "  BOOT : ORIGIN = {:#x}, LENGTH = {boot}\n",
                board.flash.origin
            ),
            "SECTIONS { .boot ORIGIN(BOOT) : { KEEP(*(.boot)) } > BOOT } INSERT BEFORE .text;\n",
        ),
    };
    format!(
        "MEMORY {{\n{regions}  FLASH : ORIGIN = {:#x}, LENGTH = {}\n  RAM : ORIGIN = {:#x}, LENGTH = {}\n}}\n\
         _stack_start = ORIGIN(RAM);\n_stack_end = ORIGIN(RAM) - {stack};\n{sections}",
        flash.origin,
        flash.len,
        ram.origin + stack,
        ram.len - stack,
    )
}
