//! What the user sees: notes, progress bars, tables, JSON.
//!
//! Results go to stdout; all else goes to stderr, so that a result can be piped. Progress is a
//! bar on a terminal and plain lines elsewhere; `-q` hides it.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// How often progress prints a line where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// How much to say, and how.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    quiet: bool,
    verbose: u8,
    terminal: bool,
}

impl Ui {
    /// `quiet`: results and errors only. `verbose`: how many `-v` were given.
    pub fn new(quiet: bool, verbose: u8) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            quiet,
            verbose,
            terminal,
        }
    }

    /// Says nothing but errors: for tests and for commands that call others.
    pub fn silent() -> Self {
        Self {
            quiet: true,
            verbose: 0,
            terminal: false,
        }
    }

    /// How many `-v` were given.
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Whether `-q` was given.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A line for the user, on stderr; hidden by `-q`.
    pub fn note(&self, message: impl Display) {
        if !self.quiet {
            eprintln!("{message}");
        }
    }

    /// A line shown with `-v` only, on stderr.
    pub fn detail(&self, message: impl Display) {
        if self.verbose > 0 {
            eprintln!("{message}");
        }
    }

    /// Something that the user should know of, on stderr; shown even with `-q`.
    pub fn warn(&self, message: impl Display) {
        eprintln!("warning: {message}");
    }

    /// An error with its causes, on stderr.
    pub fn error(&self, error: &anyhow::Error) {
        eprintln!("error: {error}");
        for cause in error.chain().skip(1) {
            eprintln!("  caused by: {cause}");
        }
    }

    /// A line of the result, on stdout. A closed pipe (`mote … | head`) ends the program quietly.
    pub fn result(&self, line: impl Display) {
        if writeln!(std::io::stdout(), "{line}").is_err() {
            std::process::exit(0);
        }
    }

    /// The result as JSON with stable keys, on stdout.
    ///
    /// # Errors
    /// When `value` cannot be serialized, such as a map whose keys are no strings.
    pub fn json<T: Serialize>(&self, value: &T) -> Result<(), serde_json::Error> {
        self.result(serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// An empty table with the house's look; print it with [`Ui::result`].
    /// Columns named in `right` (by index) are aligned right: numbers.
    pub fn table(&self, header: &[&str], right: &[usize]) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_BORDERS_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(header.iter().copied());
        for &index in right {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// Progress over `total` steps of something called `label`.
    pub fn progress(&self, label: &str, total: u64) -> Progress {
        let shown = !self.quiet;
        let bar = if shown && self.terminal {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.set_style(bar_style(
                "{prefix:<12} {bar:32} {pos}/{len} {elapsed} < {eta}  {msg}",
            ));
            bar
        } else {
            ProgressBar::hidden()
        };
        bar.set_length(total);
        bar.set_prefix(label.to_owned());
        let plain = (shown && !self.terminal).then(|| Mutex::new(Instant::now()));
        Progress {
            bar,
            plain,
            label: label.to_owned(),
            started: Instant::now(),
        }
    }

    /// Something under way whose end cannot be foreseen.
    pub fn spinner(&self, label: &str) -> Progress {
        if self.quiet || !self.terminal {
            self.note(format_args!("{label} …"));
            return Progress {
                bar: ProgressBar::hidden(),
                plain: None,
                label: label.to_owned(),
                started: Instant::now(),
            };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(bar_style("{spinner} {prefix} {elapsed}  {msg}"));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress {
            bar,
            plain: None,
            label: label.to_owned(),
            started: Instant::now(),
        }
    }
}

fn bar_style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

/// Progress of one task: a bar on a terminal, a line every ten seconds elsewhere.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    plain: Option<Mutex<Instant>>,
    label: String,
    started: Instant,
}

impl Progress {
    /// `steps` more are done.
    pub fn inc(&self, steps: u64) {
        self.bar.inc(steps);
        let Some(last) = &self.plain else { return };
        let Ok(mut last) = last.lock() else { return };
        if last.elapsed() >= PLAIN_INTERVAL {
            *last = Instant::now();
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let message = self.bar.message();
            eprintln!("{}: {done}/{total} {message}", self.label);
        }
    }

    /// `steps` were done before: they count, but say nothing of the speed.
    pub fn skip(&self, steps: u64) {
        self.bar.set_position(steps);
        self.bar.reset_eta();
    }

    /// `steps` are done in all.
    pub fn reach(&self, steps: u64) {
        self.inc(steps.saturating_sub(self.bar.position()));
    }

    /// Words beside the bar, such as the running loss.
    pub fn message(&self, words: impl Display) {
        self.bar.set_message(words.to_string());
    }

    /// A line above the bar (or plain, where there is no terminal), kept after the bar has gone.
    pub fn line(&self, line: impl Display) {
        if self.bar.is_hidden() {
            if self.plain.is_some() {
                eprintln!("{line}");
            }
        } else {
            self.bar.println(line.to_string());
        }
    }

    /// Seconds since the task began.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_right() {
        let mut table = Ui::silent().table(&["layer", "parameters"], &[1]);
        table.add_row(["dense_1", "7"]);
        let text = table.to_string();
        assert!(
            text.lines().any(|line| line.trim_end().ends_with(" 7 │")),
            "{text}"
        );
    }

    #[test]
    fn a_quiet_progress_counts_in_silence() {
        let progress = Ui::silent().progress("training", 3);
        progress.inc(2);
        assert_eq!(progress.bar.position(), 2);
        assert!(progress.plain.is_none());
    }
}
