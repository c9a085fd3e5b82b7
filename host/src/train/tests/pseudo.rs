//! Pseudo-labels.

use super::*;

fn recipe() -> Recipe {
    let text = RECIPE.replace("epochs = 3", "epochs = 40");
    let text =
        format!("{text}[train.pseudo]\nlabels = 20\nrounds = 2\nepochs = 20\nthreshold = 0.5\n");
    Recipe::parse(&text, Path::new("tiny.toml")).unwrap()
}

/// Twenty bars with a label tell the others; what comes out does not depend on the labels that are not known.
#[test]
fn few_labels_tell_the_others_which_are_not_looked_at() {
    let scratch = Scratch::new("pseudo");
    let recipe = recipe();
    let first = train(&recipe, &scratch.options("first"), &mut ()).unwrap();
    let [one, two] = first.labelled[..] else {
        panic!("{:?}", first.labelled);
    };
    assert_eq!((one.round, one.unlabelled), (1, 60));
    assert!(two.labelled >= one.labelled && two.labelled > 40, "{two:?}");
    assert!(two.right * 10 > two.labelled * 9, "{two:?}");
    let alone = first.alone.unwrap();
    assert!(first.test.unwrap().correct >= alone.correct);

    // Labels that come after those which are known are made wrong.
    let set = recipe.load_data(Some(&scratch.0), Part::Train).unwrap();
    let training = set.split(0.2, recipe.train.seed).training;
    let mut labels = set.labels.clone();
    let mut counts = [0; 10];
    for index in training {
        let full = counts.iter().all(|&count| count >= 2);
        counts[usize::from(labels[index])] += 1;
        if full {
            labels[index] = (labels[index] + 1) % 10;
        }
    }
    assert!(set.labels.iter().zip(&labels).any(|(a, b)| a != b));
    let file = scratch.0.join("mnist/train-labels-idx1-ubyte");
    let header = [0, 0, 8, 1, 0, 0, 0, 100];
    std::fs::write(file, [&header[..], &labels].concat()).unwrap();
    let second = train(&recipe, &scratch.options("second"), &mut ()).unwrap();
    assert_eq!(bytes(&first), bytes(&second));
    assert!(second.labelled[1].right < two.right);
}

#[test]
fn a_round_goes_on_where_it_was_stopped() {
    let scratch = Scratch::new("rounds");
    let recipe = recipe();
    let whole = train(&recipe, &scratch.options("whole"), &mut ()).unwrap();
    // Stopped in each of the three: the first has 40 epochs of 2 batches of 16, the next 20 epochs.
    let next = 20 * (20 + whole.labelled[0].labelled).div_ceil(16);
    for batches in [7, 83, 80 + next + 3] {
        let run = format!("stopped-{batches}");
        let options = scratch.options(&run);
        let stopped = train(&recipe, &options, &mut StopAfter(batches)).unwrap();
        assert!(stopped.test.is_none() && stopped.alone.is_none());
        let resume = Options {
            resume: true,
            ..options.clone()
        };
        let resumed = train(&recipe, &resume, &mut ()).unwrap();
        assert_eq!(bytes(&resumed), bytes(&whole), "{batches}");
        assert_eq!(resumed.labelled, whole.labelled);
        // A new training takes nothing of what is there.
        let again = train(&recipe, &options, &mut StopAfter(7)).unwrap();
        assert_eq!((again.progress.epoch, again.progress.batch), (3, 1));
        assert!(!again.files.checkpoint.is_file());
    }
}

#[test]
fn labels_that_are_not_there_are_refused() {
    let scratch = Scratch::new("labels");
    let text = recipe().text.replace("labels = 20", "labels = 500");
    let many = Recipe::parse(&text, Path::new("tiny.toml")).unwrap();
    let error = train(&many, &scratch.options("many"), &mut ()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("wanted 50 samples of class 0"),
        "{error}"
    );
    for (from, to, words) in [
        ("labels = 20", "labels = 25", "a multiple of 10"),
        ("threshold = 0.5", "threshold = 1.0", "above 0, below 1"),
        (
            "loss = \"cross_entropy\"",
            "loss = \"mse\"",
            "with cross_entropy",
        ),
    ] {
        let text = recipe().text.replace(from, to);
        let error = Recipe::parse(&text, Path::new("tiny.toml")).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
