//! From the words of `--train` to what they ask for.

use std::str::FromStr;

use nn_core::train::Rounding;

use super::{Choice, Name, SpecError, SpecRequest, Trained};

impl FromStr for SpecRequest {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut request = Self::default();
        // Whether a bare word is one more name of `layers:`.
        let mut naming = false;
        let words = text.split([',', ' ', '\t']);
        for word in words.filter(|word| !word.is_empty()) {
            let unknown = || SpecError::Word {
                found: word.to_owned(),
            };
            if let Some((option, value)) = word.split_once('=') {
                naming = false;
                let choice = choice(option, value).ok_or_else(unknown)??;
                request.options.push(choice);
                continue;
            }
            let trained = match word.split_once(':') {
                None if word == "all" => Trained::All,
                None if word == "biases" => Trained::Biases,
                None if naming => Trained::Layer(word.to_owned()),
                Some(("last", count)) => Trained::Last(parse(
                    "last",
                    "a whole number from 1 to 255",
                    count,
                    |count| *count > 0,
                )?),
                Some(("layers", name)) => {
                    naming = true;
                    request.trained.push(Trained::Layer(name.to_owned()));
                    continue;
                }
                Some(("channels", rest)) => channels(rest)?,
                Some(("top", rest)) => top(rest)?,
                _ => return Err(unknown()),
            };
            naming = matches!(trained, Trained::Layer(_));
            request.trained.push(trained);
        }
        Ok(request)
    }
}

fn parse<T: FromStr>(
    option: &'static str,
    wanted: &'static str,
    found: &str,
    fits: impl Fn(&T) -> bool,
) -> Result<T, SpecError> {
    let value = found.parse().ok().filter(fits);
    value.ok_or_else(|| SpecError::Value {
        option,
        wanted,
        found: found.to_owned(),
    })
}

/// `NAME:FIRST-LAST`, or one channel.
fn channels(rest: &str) -> Result<Trained, SpecError> {
    let wanted = "NAME:FIRST-LAST, up to 64 channels";
    let error = || SpecError::Value {
        option: "channels",
        wanted,
        found: rest.to_owned(),
    };
    let (layer, range) = rest.rsplit_once(':').ok_or_else(error)?;
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let first: u16 = first.parse().map_err(|_| error())?;
    let last: u16 = last.parse().map_err(|_| error())?;
    if last < first || last - first >= 64 {
        return Err(error());
    }
    let layer = layer.to_owned();
    Ok(Trained::Channels { layer, first, last })
}

/// `NAME:COUNT`.
fn top(rest: &str) -> Result<Trained, SpecError> {
    let wanted = "NAME:COUNT, the count at least 1";
    let error = || SpecError::Value {
        option: "top",
        wanted,
        found: rest.to_owned(),
    };
    let (layer, count) = rest.rsplit_once(':').ok_or_else(error)?;
    let count = parse("top", wanted, count, |count: &u16| *count > 0)?;
    let layer = layer.to_owned();
    Ok(Trained::Top { layer, count })
}

/// An option; `None` where there is none of that name.
fn choice(option: &str, value: &str) -> Option<Result<Choice, SpecError>> {
    let rate = |x: &f32| x.is_finite() && *x >= 0.0;
    let positive = |x: &f32| x.is_finite() && *x > 0.0;
    let number = "a finite number, at least 0";
    let above = "a finite number above 0";
    Some(match option {
        "learning_rate" => parse("learning_rate", number, value, rate).map(Choice::LearningRate),
        "weight_decay" => parse("weight_decay", number, value, rate).map(Choice::WeightDecay),
        "l1" => parse("l1", number, value, rate).map(Choice::L1),
        "momentum" => {
            let wanted = "a number from 0 to below 1";
            let fits = |x: &f32| (0.0..1.0).contains(x);
            parse("momentum", wanted, value, fits).map(Choice::Momentum)
        }
        "nesterov" => parse("nesterov", "true or false", value, |_| true).map(Choice::Nesterov),
        "rounding" => {
            let rounding = match value {
                "stochastic" => Ok(Rounding::Stochastic),
                "nearest" => Ok(Rounding::Nearest),
                _ => Err(SpecError::Value {
                    option: "rounding",
                    wanted: "stochastic or nearest",
                    found: value.to_owned(),
                }),
            };
            rounding.map(Choice::Rounding)
        }
        "accumulate" => {
            let wanted = "a whole number of samples from 1 to 65535";
            parse("accumulate", wanted, value, |k| *k > 0).map(Choice::Accumulate)
        }
        "clip_value" => parse("clip_value", above, value, positive).map(Choice::ClipValue),
        "clip_norm" => parse("clip_norm", above, value, positive).map(Choice::ClipNorm),
        "optimizer" => {
            let wanted = "sgd, adam, adamw or rmsprop";
            parse("optimizer", wanted, value, |_| true).map(Choice::Optimizer)
        }
        _ => return None,
    })
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "sgd" => Self::Sgd,
            "adam" => Self::Adam,
            "adamw" => Self::AdamW,
            "rmsprop" => Self::RmsProp,
            _ => return Err(()),
        })
    }
}
