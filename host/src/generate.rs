//! Text from a network that tells the next letter: what it has written becomes what it reads.

use nn_core::tensor::Tensor;

use crate::data::{Stream, Text, TextError};
use crate::sample::{self, SampleError};

/// How letters are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// p^(1/T) is what letters are drawn by: below 1 likelier ones more often, at 0 the likeliest alone.
    pub temperature: f64,
    /// All chance follows from it.
    pub seed: u64,
}

/// Why no text comes.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError<E> {
    /// The beginning has letters that the network does not know, or too few of them.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The model reads or gives something else.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The model has another number of outputs than the alphabet has letters.
    #[error(
        "the model gives {found} numbers, the alphabet has {wanted} letters: name the recipe that it was exported from"
    )]
    Letters {
        /// The alphabet's.
        wanted: usize,
        /// The model's.
        found: usize,
    },
    /// The device did not answer.
    #[error(transparent)]
    Device(E),
}

/// Goes on from `prompt`, `count` letters; `infer` takes a model's input bytes and gives its output's.
///
/// # Errors
/// [`GenerateError`].
pub fn generate<E>(
    text: &Text,
    [input, output]: [&Tensor; 2],
    prompt: &str,
    count: usize,
    choice: Choice,
    mut infer: impl FnMut(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, GenerateError<E>> {
    let alphabet = text.letters();
    if output.elements() != alphabet.len() {
        return Err(GenerateError::Letters {
            wanted: alphabet.len(),
            found: output.elements(),
        });
    }
    let mut letters = text.encode(prompt, "the prompt")?;
    let begun = letters.len();
    if begun < text.window {
        return Err(GenerateError::Text(TextError::Short {
            place: "the prompt".to_owned(),
            what: "to begin with",
            wanted: text.window.saturating_sub(1),
            found: begun,
        }));
    }
    let mut stream = Stream::new(choice.seed, Stream::LETTERS, 0, 0);
    for _ in 0..count {
        let seen = letters.iter().skip(letters.len() - text.window);
        let seen: Vec<f32> = seen.map(|&letter| f32::from(letter)).collect();
        let answer = infer(&sample::encode_values(input, &seen)?).map_err(GenerateError::Device)?;
        let scores = sample::scores(output, &answer)?;
        let next = choose(&scores, choice.temperature, stream.uniform(0.0, 1.0));
        // An alphabet has at most 256 letters.
        letters.push(next as u8);
    }
    let written = letters.iter().skip(begun);
    let written = written.filter_map(|&letter| alphabet.get(usize::from(letter)));
    Ok(written.collect())
}

/// The class that `chance`, from 0 to 1, falls on when class k has the share p_k^(1/T).
fn choose(probabilities: &[f32], temperature: f64, chance: f32) -> usize {
    if temperature <= 0.0 {
        return sample::prediction(probabilities);
    }
    let shares = probabilities
        .iter()
        .map(|&p| f64::from(p.max(0.0)).powf(1.0 / temperature));
    let shares: Vec<f64> = shares.collect();
    let mut left = f64::from(chance) * shares.iter().sum::<f64>();
    for (class, share) in shares.iter().enumerate() {
        if left < *share {
            return class;
        }
        left -= share;
    }
    sample::prediction(probabilities)
}

#[cfg(test)]
mod tests {
    use nn_core::tensor::{DType, Quant, Shape};

    use super::*;

    #[test]
    fn temperature_goes_from_the_likeliest_to_all_alike() {
        let p = [0.1, 0.6, 0.3];
        let drawn = |temperature| -> Vec<usize> {
            (0..100u8)
                .map(|i| choose(&p, temperature, (f32::from(i) + 0.5) / 100.0))
                .collect()
        };
        let count = |drawn: &[usize], class| drawn.iter().filter(|&&c| c == class).count();
        assert_eq!(drawn(0.0), [1; 100]);
        let one = drawn(1.0);
        assert_eq!([0, 1, 2].map(|class| count(&one, class)), [10, 60, 30]);
        assert!(count(&drawn(0.5), 1) > 70 && count(&drawn(10.0), 0) > 25);
        assert_eq!(choose(&[0.0, 0.0], 1.0, 0.5), 0);
    }

    #[test]
    fn what_is_written_is_read() {
        let text: Text = toml::from_str("file = \"a\"\nalphabet = \"abc\"\nwindow = 2").unwrap();
        let tensor = |count| Tensor::activation(Shape::vector(count), DType::F32, Quant::None);
        let choice = Choice {
            temperature: 0.0,
            seed: 1,
        };
        // The letter after the last one.
        let next = |input: &[u8]| {
            let last = sample::scores(&tensor(2), input).unwrap()[1] as usize;
            let mut p = [0.0f32; 3];
            p[(last + 1) % 3] = 1.0;
            Ok::<_, SampleError>(p.iter().flat_map(|p| p.to_le_bytes()).collect())
        };
        let (input, output) = (tensor(2), tensor(3));
        let go = |prompt| generate(&text, [&input, &output], prompt, 5, choice, next);
        assert_eq!(go("ab").unwrap(), "cabca");
        assert!(
            go("a")
                .unwrap_err()
                .to_string()
                .contains("more than 1 letters to begin with")
        );
        assert!(
            go("ax")
                .unwrap_err()
                .to_string()
                .contains("'x' is not in the alphabet")
        );
        let wrong = generate(&text, [&input, &input], "ab", 1, choice, next);
        assert!(
            wrong
                .unwrap_err()
                .to_string()
                .contains("gives 2 numbers, the alphabet has 3 letters")
        );
    }
}
