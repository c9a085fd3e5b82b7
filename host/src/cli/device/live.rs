//! `mote device MODEL --on PLACE`: a device while it runs or learns.

use std::io::{IsTerminal, Stdout, stdout};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use host::blob::Blob;
use host::data::Part;
use host::device::{self, AgentOptions, Device, DeviceError, Linked, Place, Serial, Tcp};
use host::live::{self, Event, Layer, Plan, State};
use host::package::{Key, Package};
use host::ui::Ui;
use nn_core::model::Model;
use nn_core::train::Sgd;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, KeyCode, KeyEventKind, KeyModifiers};

use super::show::unit_name;
use super::{AnyAgent, trusted};
use crate::cli::samples::Samples;

/// How often the picture is drawn.
const FRAME: Duration = Duration::from_millis(50);
/// How often plain lines tell how far it is.
const LINE: Duration = Duration::from_secs(2);

/// Arguments of `mote device MODEL`.
#[derive(clap::Args)]
pub(crate) struct Live {
    /// The model to watch: an agent that serves another one is loaded with it.
    #[arg(value_name = "MODEL.mote", required = true)]
    model: Option<PathBuf>,
    /// host, qemu[:BOARD] (an385, an386, an500, an547, microbit), serial:PATH[@BAUD] or tcp:HOST:PORT.
    #[arg(long, value_name = "PLACE", required = true)]
    on: Option<Place>,
    /// The flash of a board in QEMU, a file; made where there is none [default: target/agent/BOARD.flash].
    #[arg(long, value_name = "FILE")]
    flash: Option<PathBuf>,
    /// Sign the model with this key, where it has to be loaded into a locked agent.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    source: Samples,
    /// Stream the first N samples of the training set.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
    /// Run the model only, even where it learns.
    #[arg(long)]
    no_learning: bool,
    /// Step size, instead of the model's.
    #[arg(long, value_name = "RATE", conflicts_with = "no_learning")]
    learning_rate: Option<f32>,
    /// Print one JSON object a line: start, sample …, end.
    #[arg(long)]
    json: bool,
}

/// Runs `mote device MODEL`.
pub(super) fn run(args: Live, ui: &Ui) -> anyhow::Result<()> {
    let (Some(path), Some(on)) = (&args.model, &args.on) else {
        bail!("wanted a model and --on PLACE, or one of the subcommands: `mote device --help`");
    };
    let blob = Blob::open(path)?;
    let model = blob.model();
    let learns = model.learns() && !args.no_learning;
    let own = model.train_spec().map(|spec| spec.rates());
    let sgd = match (args.learning_rate, own) {
        (Some(learning_rate), Some(own)) => Some(Sgd {
            learning_rate,
            ..own
        }),
        (Some(_), None) => bail!("--learning-rate: {} does not learn", path.display()),
        (None, _) => None,
    };
    let samples = args.source.load(Part::Train, Some(args.limit))?;
    ensure!(
        samples.classes > 0,
        "a live view wants samples of classes: `mote tune` and `mote stock` learn numbers"
    );
    let plan = Plan {
        samples,
        learns,
        sgd,
    };
    let mut state = State {
        on: on.to_string(),
        model: model.name().to_owned(),
        ..State::default()
    };
    let mut device = open(&args, on, &blob, &mut state, ui)?;
    let info = device.info();
    let wanted = match learns {
        true => info.arena_train,
        false => info.arena_infer,
    };
    state.arena = [wanted, info.arena];
    state.learnt = info.weights_len;
    if state.board.is_empty() {
        state.board = format!("{}, {}", info.board, info.core);
    }
    let ends = [model.input(0), model.output(0)];
    let [Some(input), Some(output)] = ends else {
        bail!("{} has no input or no output", path.display());
    };
    let mut screen = Screen::open(&args, ui)?;
    let streamed = live::stream(
        device.as_mut(),
        [&input, &output],
        &plan,
        &mut state,
        |event, state| screen.show(event, state),
    );
    screen.close(&state)?;
    streamed?;
    device.finish()?;
    Ok(())
}

/// The device, which serves `blob`: an agent, an image with that model, or this process.
fn open(
    args: &Live,
    on: &Place,
    blob: &Blob,
    state: &mut State,
    ui: &Ui,
) -> anyhow::Result<Box<dyn Device>> {
    let model = blob.model();
    if *on == Place::Host {
        return Ok(device::open(on, blob, ui)?);
    }
    let options = AgentOptions {
        flash: args.flash.clone(),
        key: trusted()?,
        counts: true,
    };
    match device::open_agent(on, &options, ui) {
        Ok(mut agent) => {
            serve(&mut agent, args, blob, ui)?;
            profile(&mut agent, &model, state)?;
            let info = agent.info();
            state.board = match info.clock {
                0 => format!("{}, {}", info.board, info.core),
                clock => format!(
                    "{}, {} at {} MHz",
                    info.board,
                    info.core,
                    f64::from(clock) / 1e6
                ),
            };
            Ok(Box::new(agent.into_device(&model)?))
        }
        // An image around a model.
        Err(DeviceError::NoAgent(_)) => Ok(match on {
            Place::Serial { path, baud } => {
                Box::new(Linked::greet(Serial::open(path, *baud)?, &model)?)
            }
            Place::Tcp(address) => Box::new(Linked::greet(Tcp::open(address)?, &model)?),
            _ => bail!("{on} has no agent"),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Has the agent serve `blob`, if it does not yet.
fn serve(agent: &mut AnyAgent, args: &Live, blob: &Blob, ui: &Ui) -> anyhow::Result<()> {
    if let Some(active) = agent.info().active {
        let slot = agent.slot(active)?;
        if slot.blob_crc32 == blob.model().header().crc {
            return Ok(());
        }
    }
    let mut package = Package::new(blob.clone(), 1, 0)?;
    if let Some(key) = &args.key {
        package = package.signed(&Key::read(key)?);
    }
    let progress = ui.progress("loading", package.manifest.blob_len.into());
    agent.load(&package, |loading| progress.reach(loading.offset.into()))?;
    progress.finish();
    agent.activate()?;
    Ok(())
}

fn profile(agent: &mut AnyAgent, model: &Model<'_>, state: &mut State) -> anyhow::Result<()> {
    let profile = agent.profile().context("the layers cannot be counted")?;
    state.unit = unit_name(profile.unit);
    let names = model.nodes().iter().map(|node| node.name.to_owned());
    state.layers = std::iter::zip(names, profile.counts)
        .map(|(name, count)| Layer { name, count })
        .collect();
    Ok(())
}

/// Where the events go.
enum Screen<'u> {
    /// One JSON object a line.
    Json(&'u Ui),
    /// Lines for people.
    Lines(&'u Ui, Instant),
    /// A picture.
    Picture(Picture),
}

impl<'u> Screen<'u> {
    fn open(args: &Live, ui: &'u Ui) -> anyhow::Result<Self> {
        Ok(if args.json {
            Screen::Json(ui)
        } else if stdout().is_terminal() && !ui.is_quiet() {
            Screen::Picture(Picture::open().context("the terminal cannot be drawn on")?)
        } else {
            Screen::Lines(ui, Instant::now())
        })
    }

    fn show(&mut self, event: &Event<'_>, state: &State) -> std::io::Result<ControlFlow<()>> {
        match self {
            Screen::Json(ui) => ui.result(serde_json::to_string(event)?),
            Screen::Lines(ui, last) => {
                let due = last.elapsed() >= LINE;
                if let (true, Event::Sample { .. }) = (due, event) {
                    *last = Instant::now();
                    ui.note(line(state));
                }
            }
            Screen::Picture(picture) => return picture.show(event, state),
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Leaves the picture when a key is pressed, and says in a line what came of it.
    fn close(self, state: &State) -> anyhow::Result<()> {
        match self {
            Screen::Json(_) => {}
            Screen::Lines(ui, _) => ui.result(line(state)),
            Screen::Picture(mut picture) => {
                picture.wait(state)?;
                drop(picture);
                println!("{}", line(state));
            }
        }
        Ok(())
    }
}

fn line(state: &State) -> String {
    let digest = state.digest.as_ref().map_or_else(String::new, |digest| {
        format!("; digest of the learnt weights {digest}")
    });
    format!(
        "{} on {}: {} of {} samples, {:.2} % right, {:.2} % of the last hundred{digest}",
        state.model,
        state.on,
        state.samples,
        state.total,
        100.0 * state.accuracy(),
        100.0 * state.recent()
    )
}

/// A terminal that is drawn on, and given back as it was.
struct Picture {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    drawn: Option<Instant>,
    left: bool,
}

impl Picture {
    fn open() -> std::io::Result<Self> {
        Ok(Self {
            terminal: ratatui::try_init()?,
            drawn: None,
            left: false,
        })
    }

    fn show(&mut self, event: &Event<'_>, state: &State) -> std::io::Result<ControlFlow<()>> {
        let over = matches!(event, Event::End { .. });
        if over || self.drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            self.terminal.draw(|frame| live::draw(frame, state, over))?;
            self.drawn = Some(Instant::now());
            self.left |= leaves(Duration::ZERO)?;
        }
        Ok(match self.left {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    fn wait(&mut self, state: &State) -> std::io::Result<()> {
        // Ended by a key, or by an error that wants to be read.
        while !self.left && state.samples == state.total {
            self.left = leaves(FRAME)?;
            self.terminal.draw(|frame| live::draw(frame, state, true))?;
        }
        Ok(())
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Whether the user wants to leave.
fn leaves(wait: Duration) -> std::io::Result<bool> {
    let mut wait = wait;
    while event::poll(wait)? {
        wait = Duration::ZERO;
        if let event::Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let end = key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
            if end || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
