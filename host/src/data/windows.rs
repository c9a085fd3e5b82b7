//! From a series to samples: the prices of the days before a day, and that day's.
//!
//! ```text
//! scale = max |close| over the days to learn from
//! x(t)  = close[t − window .. t] / scale        what is known on the evening before day t
//! y(t)  = close[t] / scale                      what came
//! ```
//!
//! The scale comes from the days to learn from alone, and those are the first `share` of all: nothing that is shown for
//! day t depends on day t or any after it.

use std::ops::Range;

use super::{Column, DataSet, Part, Series, SeriesError, Values};

/// A series cut into samples.
#[derive(Debug, Clone)]
pub struct Windows<'s> {
    series: &'s Series,
    window: usize,
    train: usize,
    scale: f64,
}

impl<'s> Windows<'s> {
    /// Samples of `window` days, of which the first `share` of the series is learnt from.
    ///
    /// # Errors
    /// [`SeriesError::Short`] when no day is left to learn from or to test on; [`SeriesError::Flat`].
    pub fn new(series: &'s Series, window: usize, share: f64) -> Result<Self, SeriesError> {
        let name = || series.name.clone();
        // A share of a count: never negative, never above the count.
        let train = ((series.len() as f64) * share.clamp(0.0, 1.0)) as usize;
        if train <= window || train >= series.len() {
            let enough = ((window + 1) as f64 / share.max(0.01)).ceil() as usize;
            return Err(SeriesError::Short {
                name: name(),
                wanted: enough.max(window + 2),
                found: series.len(),
                window,
                share,
            });
        }
        let known = series.closes.iter().take(train);
        let scale = known.fold(0.0, |scale: f64, close| scale.max(close.abs()));
        if scale == 0.0 {
            return Err(SeriesError::Flat { name: name() });
        }
        Ok(Self {
            series,
            window,
            train,
            scale,
        })
    }

    /// What prices are divided by.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The days of one part that have a window before them.
    pub fn days(&self, part: Part) -> Range<usize> {
        match part {
            Part::Train => self.window..self.train,
            Part::Test => self.train..self.series.len(),
        }
    }

    /// What is known before `day`: the scaled prices of the days before it, the oldest first.
    pub fn input(&self, day: usize) -> Vec<f32> {
        let known = day.min(self.series.len());
        let window = &self.series.closes[known.saturating_sub(self.window)..known];
        window.iter().map(|&close| self.scaled(close)).collect()
    }

    /// The scaled price of `day`.
    pub fn target(&self, day: usize) -> f32 {
        self.series
            .closes
            .get(day)
            .map_or(0.0, |&close| self.scaled(close))
    }

    /// The price that a scaled one stands for.
    pub fn price(&self, scaled: f32) -> f64 {
        f64::from(scaled) * self.scale
    }

    fn scaled(&self, close: f64) -> f32 {
        // Rounded once: a price relative to another has no more than f32's digits.
        (close / self.scale) as f32
    }

    /// The samples of one part, in the order of their days.
    pub fn data_set(&self, part: Part) -> DataSet {
        let days = self.days(part);
        let inputs = days.clone().flat_map(|day| self.input(day)).collect();
        let targets: Vec<f32> = days.map(|day| self.target(day)).collect();
        DataSet {
            name: self.series.name.clone(),
            shape: [self.window, 1, 1],
            classes: 0,
            images: Vec::new(),
            labels: vec![0; targets.len()],
            values: Some(Values {
                inputs,
                targets,
                columns: vec![Column::plain(&self.series.column)],
                features: Vec::new(),
                series: true,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Days, NaiveDate};

    use super::*;

    pub(crate) fn series(closes: &[f64]) -> Series {
        let first = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
        Series {
            name: "series".to_owned(),
            column: "close".to_owned(),
            dates: (0..closes.len() as u64)
                .map(|day| first.checked_add_days(Days::new(day)).unwrap())
                .collect(),
            closes: closes.to_vec(),
        }
    }

    #[test]
    fn a_window_ends_the_day_before() {
        let series = series(&[1.0, 2.0, 4.0, 3.0, 8.0]);
        let windows = Windows::new(&series, 2, 0.8).unwrap();
        assert_eq!(windows.scale(), 4.0);
        assert_eq!(windows.days(Part::Train), 2..4);
        assert_eq!(windows.days(Part::Test), 4..5);
        assert_eq!(windows.input(2), [0.25, 0.5]);
        assert_eq!(windows.target(2), 1.0);
        let set = windows.data_set(Part::Test);
        let values = set.values.unwrap();
        assert_eq!(
            (values.inputs, values.targets),
            (vec![1.0, 0.75], vec![2.0])
        );
    }

    /// Whatever comes later, what is shown for a day and all before it stays the same.
    #[test]
    fn no_sample_looks_ahead() {
        let closes: Vec<f64> = (0..50).map(|day| 10.0 + f64::from(day * 7 % 11)).collect();
        let before = series(&closes);
        let before = Windows::new(&before, 10, 0.6).unwrap();
        for changed in 30..50 {
            let mut closes = closes.clone();
            for close in &mut closes[changed..] {
                *close *= -1000.0;
            }
            let after = series(&closes);
            let after = Windows::new(&after, 10, 0.6).unwrap();
            for day in 10..=changed {
                assert_eq!(before.input(day), after.input(day), "day {day}");
            }
            assert_ne!(before.target(changed), after.target(changed));
        }
    }

    #[test]
    fn too_few_rows_say_how_many() {
        let short = series(&[1.0; 11]);
        let error = Windows::new(&short, 10, 0.8).unwrap_err().to_string();
        assert!(error.contains("at least 14 rows"), "{error}");
        assert!(Windows::new(&series(&[1.0; 14]), 10, 0.8).is_ok());
        let error = Windows::new(&series(&[0.0; 40]), 10, 0.8).unwrap_err();
        assert!(matches!(error, SeriesError::Flat { .. }));
    }
}
