//! `mote flash`.

use host::ui::Ui;

const EXAMPLES: &str = "\
Examples:
  mote flash --list                                # which debug probes are plugged in
  mote flash --chip STM32F446RETx
  mote flash --chip STM32F446RETx --model models/mnist-cnn-head.mote --dry-run   # build, check that it fits
  mote flash --chip RP2040 --follow                # then show the board's log, until Ctrl-C
  mote flash --chip STM32F446RETx --elf IMAGE --probe 0483:374b:066AFF53
  MOTE_KEY=$(mote key show release.pem) mote flash --chip RP2040 --app agent   # takes what that key has signed

The chip's name is probe-rs'; where it knows none by that name, the nearest are shown.
Afterwards the board answers on its serial port: mote eval MODEL --on serial:/dev/ttyACM0";

/// Arguments of `mote flash`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
#[cfg_attr(
    not(feature = "flash"),
    allow(dead_code, reason = "built without probe-rs")
)]
pub(crate) struct Args {
    /// The chip to write to, by probe-rs' name.
    #[arg(long, required_unless_present = "list")]
    chip: Option<String>,
    /// The model: the image is built around it, for the board with that chip
    /// [default: models/mnist-cnn-head.mote].
    #[arg(long, value_name = "MODEL.mote")]
    model: Option<std::path::PathBuf>,
    /// The app that serves the model.
    #[arg(long, default_value = "mnist", conflicts_with = "elf")]
    app: String,
    /// Write this image instead: an ELF file for that chip.
    #[arg(long, value_name = "IMAGE", conflicts_with = "model")]
    elf: Option<std::path::PathBuf>,
    /// The debug probe, where several are plugged in.
    #[arg(long, value_name = "VID:PID[:SERIAL]")]
    probe: Option<String>,
    /// Hold the chip in reset while attaching.
    #[arg(long)]
    under_reset: bool,
    /// Let a protected chip be unlocked by erasing it whole.
    #[arg(long)]
    allow_erase_all: bool,
    /// Check the image against the chip; touch no probe.
    #[arg(long)]
    dry_run: bool,
    /// Show the image's log afterwards, until Ctrl-C: defmt over RTT.
    #[arg(long, conflicts_with_all = ["dry_run", "json"])]
    follow: bool,
    /// List the debug probes that are plugged in.
    #[arg(long, conflicts_with_all = ["chip", "elf", "model", "app", "probe", "dry_run", "follow"])]
    list: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote flash`.
#[cfg(not(feature = "flash"))]
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    anyhow::bail!(
        "this mote was built without probe-rs; build it with: cargo build -p host --features flash"
    );
}

/// Runs `mote flash`.
#[cfg(feature = "flash")]
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    with_probes::run(args, ui)
}

#[cfg(feature = "flash")]
mod with_probes {
    use std::path::PathBuf;

    use anyhow::Context;
    use host::blob::Blob;
    use host::device::firmware::{self, AGENT, Content};
    use host::flash::{self, Chip, Found, Image, Options};
    use host::paths;
    use host::ui::Ui;
    use serde::Serialize;

    use super::Args;

    /// What `--json` prints.
    #[derive(Serialize)]
    struct Outcome {
        chip: String,
        image: PathBuf,
        bytes: u64,
        /// Sectors of flash that are erased for it, and their bytes.
        sectors: usize,
        erased: u64,
        /// `None` after `--dry-run`.
        probe: Option<String>,
        /// Whether the flash was written and read back.
        written: bool,
        seconds: Option<f64>,
    }

    pub(super) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
        if args.list {
            return list(args.json, ui);
        }
        let chip = Chip::named(&args.chip.context("--chip is missing")?)?;
        // Before the build, which takes longer than finding out that nothing is plugged in.
        let probe = if args.dry_run {
            None
        } else {
            Some(flash::choose_probe(
                &flash::list_probes(),
                args.probe.as_deref(),
            )?)
        };
        let elf = match args.elf {
            Some(elf) => elf,
            // It takes its models later.
            None if args.app == AGENT => {
                let key = crate::cli::device::trusted()?;
                firmware::build(chip.board()?, AGENT, Content::Agent(key), ui)?.elf
            }
            None => {
                let model = args
                    .model
                    .unwrap_or_else(|| paths::models_dir().join("mnist-cnn-head.mote"));
                let blob = Blob::open(&model)?;
                firmware::build(chip.board()?, &args.app, Content::Model(blob.bytes()), ui)?.elf
            }
        };
        let image = Image::read(&elf)?;
        image.check_fit(&chip)?;
        let bytes = image.flash_bytes();
        let sectors = flash::sectors(&chip, &image)?;
        let lengths = sectors.iter().map(|sector| &sector.addresses);
        let erased = lengths.map(|range| range.end - range.start).sum();
        let mut outcome = Outcome {
            chip: chip.name().to_owned(),
            image: image.path().to_owned(),
            bytes,
            sectors: sectors.len(),
            erased,
            probe: None,
            written: false,
            seconds: None,
        };
        let mut running = None;
        if let Some(probe) = probe {
            let options = Options {
                under_reset: args.under_reset,
                allow_erase_all: args.allow_erase_all,
            };
            let (report, chip_runs) = flash::write(&probe, &chip, &image, options, ui)?;
            running = Some(chip_runs);
            outcome.probe = Some(report.probe);
            outcome.written = true;
            outcome.seconds = Some(report.seconds);
        }
        if args.json {
            ui.json(&outcome)?;
        } else if let (Some(probe), Some(seconds)) = (&outcome.probe, outcome.seconds) {
            let name = chip.name();
            ui.result(format_args!(
                "{name}: {bytes} bytes written and verified through {probe} in {seconds:.1} s; running"
            ));
        } else {
            ui.result(format_args!(
                "{}: {bytes} bytes fit {}, in {} sectors ({erased} bytes); nothing was written (--dry-run)",
                host::paths::shorten(image.path()).display(),
                chip.name(),
                sectors.len()
            ));
        }
        if let Some(running) = running.filter(|_| args.follow) {
            running.follow(&image, |line| ui.result(line))?;
        }
        Ok(())
    }

    fn list(json: bool, ui: &Ui) -> anyhow::Result<()> {
        let found: Vec<Found> = flash::list_probes().iter().map(Found::from).collect();
        if json {
            ui.json(&found)?;
            return Ok(());
        }
        if found.is_empty() {
            ui.result(flash::FlashError::NoProbe);
            return Ok(());
        }
        let mut table = ui.table(&["probe", "--probe", ""], &[]);
        for probe in &found {
            let note = if probe.accessible {
                ""
            } else {
                "no permission"
            };
            table.add_row([probe.name.as_str(), probe.selector.as_str(), note]);
        }
        ui.result(table);
        Ok(())
    }
}
