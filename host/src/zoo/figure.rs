//! Figures of slides, and what ours must be beside them.

use serde::Serialize;

/// What ours must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// As near to the deck's as `within` says.
    Near,
    /// The deck's, or more.
    AtLeast,
    /// The deck's, or less.
    AtMost,
    /// Anything: the deck gives no figure.
    Stated,
}

/// A figure of the slides, and ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What it is of.
    pub name: String,
    /// That of the slides; not a number, in JSON null, where they give none.
    pub deck: f64,
    /// Ours.
    pub ours: f64,
    /// By how much the two may differ, where they must be near.
    pub within: f64,
    /// What ours must be.
    pub rule: Rule,
}

impl Figure {
    /// A figure that slides give as `deck`, in decimals: ours rounds to it.
    ///
    /// What is no number counts as not a number, and fails.
    pub(super) fn rounded(name: impl Into<String>, deck: &str, ours: f64) -> Self {
        let mantissa = deck.split('e').next().unwrap_or(deck);
        let decimals = mantissa.split_once('.').map_or(0, |(_, after)| after.len());
        let exponent = deck.split_once('e').and_then(|(_, e)| e.parse().ok());
        let exponent: i32 = exponent.unwrap_or(0);
        // A few digits.
        let unit = 10f64.powi(exponent - decimals as i32);
        Self::near(name, deck.parse().unwrap_or(f64::NAN), ours, unit / 2.0)
    }

    /// A figure that ours is `within` of.
    pub(super) fn near(name: impl Into<String>, deck: f64, ours: f64, within: f64) -> Self {
        Self {
            name: name.into(),
            deck,
            ours,
            within,
            rule: Rule::Near,
        }
    }

    /// A figure that ours is, exactly.
    pub(super) fn exact(name: impl Into<String>, deck: f64, ours: f64) -> Self {
        Self::near(name, deck, ours, 0.0)
    }

    /// A figure that ours meets or beats: as little, or less.
    #[cfg(feature = "zoo")]
    pub(super) fn at_most(name: impl Into<String>, deck: f64, ours: f64) -> Self {
        let rule = Rule::AtMost;
        Self {
            rule,
            ..Self::exact(name, deck, ours)
        }
    }

    /// A figure that ours meets or beats: as many, or more.
    pub(super) fn at_least(name: impl Into<String>, deck: f64, ours: f64) -> Self {
        let rule = Rule::AtLeast;
        Self {
            rule,
            ..Self::exact(name, deck, ours)
        }
    }

    /// A figure that slides do not give.
    pub(super) fn stated(name: impl Into<String>, ours: f64) -> Self {
        let rule = Rule::Stated;
        Self {
            rule,
            ..Self::exact(name, f64::NAN, ours)
        }
    }

    /// Whether ours is near enough, or as good.
    pub fn passes(&self) -> bool {
        // False where either is not a number. A decimal figure is not exact in binary: an ulp of it more.
        let slack = self.deck.abs() * f64::EPSILON;
        match self.rule {
            Rule::Near => {
                let slack = if self.within > 0.0 { slack } else { 0.0 };
                (self.deck - self.ours).abs() <= self.within + slack
            }
            Rule::AtLeast => self.ours >= self.deck - slack,
            Rule::AtMost => self.ours <= self.deck + slack,
            Rule::Stated => self.ours.is_finite(),
        }
    }
}
