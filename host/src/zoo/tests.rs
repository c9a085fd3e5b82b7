use super::*;
use crate::ui::Ui;

#[test]
fn every_system_that_is_worked_by_hand_passes_here() {
    // What is trained takes an hour: `mote zoo` runs it.
    for system in SYSTEMS.iter().filter(|system| system.group == "by-hand") {
        let outcome = system.run(&Settings::default(), &Ui::silent());
        let fails: Vec<&Figure> = outcome.figures.iter().filter(|f| !f.passes()).collect();
        assert!(fails.is_empty(), "{}: {fails:#?}", system.name);
        assert_eq!((outcome.pass, outcome.state), (Some(true), State::Pass));
    }
}

#[test]
fn a_figure_is_met_to_its_last_digit() {
    let passes = |deck, ours| Figure::rounded("x", deck, ours).passes();
    assert!(passes("0.3145", 0.31448));
    assert!(passes("0.3145", 0.31455));
    assert!(!passes("0.3145", 0.31456));
    assert!(passes("3.51085e-5", 3.510_849e-5));
    assert!(!passes("3.51085e-5", 3.5109e-5));
    assert!(!passes("0.5", f64::NAN));
    assert!(!passes("a half", 0.5));
    assert!(!Figure::exact("x", 4.0, 4.0 + f64::EPSILON * 4.0).passes());
}

#[test]
fn systems_are_chosen_by_name_or_group() {
    let names = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let systems = select(&names).map_err(|error| error.to_string())?;
        Ok::<_, String>(systems.iter().map(|system| system.name).collect::<Vec<_>>())
    };
    assert_eq!(names(&["xnor", "neuron"]).unwrap(), ["neuron", "xnor"]);
    assert_eq!(names(&["by-hand"]).unwrap().len(), 8);
    assert_eq!(names(&[]).unwrap().len(), SYSTEMS.len());
    let error = names(&["xandor"]).unwrap_err();
    assert!(error.starts_with(
        "no system or group is called `xandor`; wanted one of by-hand, tables, curves, sequences, digits, pictures, described, neuron"
    ));
}

/// A wrong number must not pass: each weight of the 2-2-2 network moves its figures.
#[test]
fn outcomes_tell_the_first_figure_that_fails() {
    let system = System {
        name: "wrong",
        group: "by-hand",
        title: "",
        run: |_| {
            Ok(vec![
                Figure::exact("right", 1.0, 1.0),
                Figure::exact("wrong", 1.0, 2.0),
            ])
        },
    };
    let outcome = system.run(&Settings::default(), &Ui::silent());
    assert_eq!((outcome.pass, outcome.state), (Some(false), State::Fail));
    assert_eq!((outcome.deck, outcome.ours), (1.0, 2.0));
}

/// An error is an outcome: the others go on, and it counts as a figure that is missed.
#[test]
fn outcomes_tell_errors() {
    let system = System {
        name: "broken",
        group: "by-hand",
        title: "",
        run: |lab| {
            lab.notes.push("begun".to_owned());
            Err(ZooError::Measure("it broke".to_owned()))
        },
    };
    let outcome = system.run(&Settings::default(), &Ui::silent());
    assert_eq!((outcome.pass, outcome.state), (Some(false), State::Error));
    let json = serde_json::to_value(&outcome).unwrap();
    assert_eq!(
        (&json["state"], &json["pass"]),
        (&"error".into(), &false.into())
    );
    assert_eq!(
        (&json["error"], &json["notes"][0]),
        (&"it broke".into(), &"begun".into())
    );
    assert_eq!(json["ours"], serde_json::Value::Null);
}

#[test]
fn figures_are_met_beaten_or_stated() {
    assert!(Figure::at_least("x", 0.9898, 0.9898).passes());
    assert!(Figure::at_least("x", 0.9898, 1.0).passes());
    assert!(!Figure::at_least("x", 0.9898, 0.9897).passes());
    assert!(!Figure::at_least("x", 0.9898, f64::NAN).passes());
    assert!(Figure::stated("x", 7.0).passes());
    assert!(!Figure::stated("x", f64::INFINITY).passes());
    let json = serde_json::to_value(Figure::stated("x", 7.0)).unwrap();
    assert_eq!(
        (&json["deck"], &json["rule"]),
        (&serde_json::Value::Null, &"stated".into())
    );
}

#[test]
fn every_recipe_of_the_zoo_is_good() {
    let folder = crate::paths::models_dir().join("zoo");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in files.filter(|path| path.extension().is_some_and(|end| end == "toml")) {
        let recipe = crate::recipe::Recipe::load(&path).unwrap();
        assert_eq!(
            path.file_stem().unwrap().to_str(),
            Some(recipe.name.as_str())
        );
        count += 1;
    }
    assert!(count >= 26, "{count}");
}

/// From the slides' own first weights: their losses to the last digit.
#[cfg(feature = "train")]
#[test]
fn irises_are_as_on_the_slides() {
    let runs = std::env::temp_dir().join(format!("mote-{}-zoo", std::process::id()));
    let settings = Settings {
        runs: runs.clone(),
        ..Settings::default()
    };
    for system in select(&["iris-one-layer".to_owned(), "iris-two-layers".to_owned()]).unwrap() {
        let outcome = system.run(&settings, &Ui::silent());
        if outcome.state == State::NoData {
            eprintln!("not run: {}", outcome.notes.join("; "));
            continue;
        }
        assert_eq!(outcome.state, State::Pass, "{:#?}", outcome.figures);
        assert_eq!(outcome.models.len(), 3);
        // Taken up, not trained again.
        let again = system.run(&settings, &Ui::silent());
        assert_eq!(again.models, outcome.models);
    }
    let _ = std::fs::remove_dir_all(runs);
}
