//! How much each class counts in the loss.

use super::Samples;
use super::error::Misfit;

/// The field `class_weights` of `[train]`: what a sample's loss is multiplied by in training.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeights {
    /// samples / (classes · samples of the class), of those learnt from: rare classes count more.
    Balanced,
    /// One for each class.
    Given(Vec<f64>),
}

impl ClassWeights {
    pub(super) fn read(value: &toml::Value, set: &Samples) -> Result<Self, Misfit> {
        let misfit = |wanted: String, found: String| Misfit::field("class_weights", wanted, found);
        if set.classes == 0 {
            let wanted = "none: the samples want numbers, not classes".to_owned();
            return Err(misfit(wanted, value.to_string()));
        }
        let wanted = format!(
            "\"balanced\", or a list of {} numbers, one for each class of {}",
            set.classes, set.name
        );
        let list = match value {
            toml::Value::String(word) if word == "balanced" => return Ok(Self::Balanced),
            toml::Value::Array(list) => list,
            other => return Err(misfit(wanted, other.to_string())),
        };
        if list.len() != set.classes {
            return Err(misfit(wanted, format!("{} of them", list.len())));
        }
        let number = |value: &toml::Value| match value {
            toml::Value::Integer(whole) => Some(*whole as f64),
            other => other.as_float(),
        };
        let weights = list.iter().map(|value| {
            let fits = number(value).filter(|weight| (0.0..=1e9).contains(weight));
            fits.ok_or_else(|| misfit("numbers from 0 to 1e9".to_owned(), value.to_string()))
        });
        let weights: Vec<f64> = weights.collect::<Result<_, _>>()?;
        if weights.iter().all(|&weight| weight == 0.0) {
            return Err(misfit("a number above 0".to_owned(), "none".to_owned()));
        }
        Ok(Self::Given(weights))
    }

    /// The weights, where samples of these classes are learnt from. A class of which there are none has weight 1.
    pub fn of(&self, classes: usize, labels: impl Iterator<Item = usize>) -> Vec<f64> {
        let mut counts = vec![0usize; classes];
        for label in labels {
            if let Some(count) = counts.get_mut(label) {
                *count += 1;
            }
        }
        match self {
            Self::Given(weights) => weights.clone(),
            Self::Balanced => {
                let samples: usize = counts.iter().sum();
                let met = counts.iter().filter(|&&count| count > 0).count();
                let weight = |&count: &usize| match count {
                    0 => 1.0,
                    _ => samples as f64 / (met * count) as f64,
                };
                counts.iter().map(weight).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn 1.9.1: `compute_class_weight("balanced", classes=np.unique(y), y=y)` for y = [0, 0, 0, 0, 1, 1, 3].
    #[test]
    fn balanced_is_scikit_learns() {
        let labels = [0, 0, 0, 0, 1, 1, 3];
        let weights = ClassWeights::Balanced.of(4, labels.into_iter());
        let wanted = [
            0.583_333_333_333_333_4,
            1.166_666_666_666_666_7,
            1.0,
            2.333_333_333_333_333_5,
        ];
        assert_eq!(weights, wanted);
        let given = ClassWeights::Given(vec![1.0, 2.0]);
        assert_eq!(given.of(2, [0, 0].into_iter()), [1.0, 2.0]);
    }
}
