//! What a walk says: who beats whom, and the forecasts as CSV.

use std::fmt;
use std::io;
use std::path::Path;

use super::Walk;

/// Who was nearer, by the root of the mean squared error over the same days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Whether learning helped.
    pub online_beats_frozen: bool,
    /// Whether the blob is nearer than the day before.
    pub frozen_beats_naive: bool,
    /// Whether what learns is nearer than the day before.
    pub online_beats_naive: bool,
}

impl Verdict {
    /// The verdict on a walk.
    pub fn of(walk: &Walk) -> Self {
        let (frozen, online, naive) = (walk.frozen(), walk.online(), walk.naive());
        Self {
            online_beats_frozen: online.rmse < frozen.rmse,
            frozen_beats_naive: frozen.rmse < naive.rmse,
            online_beats_naive: online.rmse < naive.rmse,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.online_beats_frozen {
            true => "Learning day by day beats the frozen model",
            false => "Learning day by day does not beat the frozen model",
        })?;
        f.write_str(match (self.frozen_beats_naive, self.online_beats_naive) {
            (true, true) => "; both beat the naive forecast (tomorrow = today).",
            (true, false) => {
                "; the frozen model beats the naive forecast (tomorrow = today), the other does not."
            }
            (false, true) => {
                "; it beats the naive forecast (tomorrow = today), the frozen model does not."
            }
            (false, false) => "; neither beats the naive forecast (tomorrow = today).",
        })
    }
}

/// Writes the forecasts as CSV: `date,close,frozen,online,naive`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_csv(path: &Path, walk: &Walk) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["date", "close", "frozen", "online", "naive"])?;
    for day in &walk.days {
        let prices = [day.close, day.frozen, day.online, day.naive];
        let fields = prices.map(|price| price.to_string());
        writer.write_record([day.date.to_string()].iter().chain(&fields))?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    crate::paths::write_whole(path, &bytes)
}
