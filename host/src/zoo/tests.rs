use super::*;
use crate::ui::Ui;

#[test]
fn every_system_that_is_worked_by_hand_passes_here() {
    // What is trained takes an hour: `mote zoo` runs it.
    for system in SYSTEMS.iter().filter(|system| system.group == "by-hand") {
        let outcome = system.run(&Settings::default(), &Ui::silent()).unwrap();
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
        "no system or group is called `xandor`; wanted one of by-hand, tables, curves, sequences, digits, described, neuron"
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
    let outcome = system.run(&Settings::default(), &Ui::silent()).unwrap();
    assert_eq!((outcome.pass, outcome.state), (Some(false), State::Fail));
    assert_eq!((outcome.deck, outcome.ours), (1.0, 2.0));
}
