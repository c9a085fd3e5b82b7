//! What a recipe says of training: batches, first weights, what is frozen, classes' weights.

use super::*;

#[test]
fn a_batch_is_so_many_or_all() {
    let of = |batch: &str| parse(&SMALL.replace("batch = 64", &format!("batch = {batch}")));
    let all = of("\"all\"").unwrap().train.batch;
    assert_eq!((all, all.of(60_000)), (Batch::All, 60_000));
    assert_eq!(of("64").unwrap().train.batch.of(60_000), 64);
    for batch in ["\"some\"", "0", "-1", "65537", "1.5"] {
        let error = of(batch).unwrap_err().to_string();
        has(&error, &["line 28", "from 1 to 65536, or \"all\""]);
    }
}

#[test]
fn weights_begin_as_the_network_or_the_layer_says() {
    let text = SMALL.replace(
        "units = 10",
        "units = 10\ninit = { type = \"uniform\", high = 1 }",
    );
    let recipe = parse(&format!("{text}init = \"he\"\n")).unwrap();
    let inits: Vec<_> = recipe
        .layers()
        .iter()
        .map(|layer| layer.init.clone())
        .collect();
    let he = Some(Initialization::He(Distribution::Uniform));
    let (low, high) = (-0.05, 1.0);
    let uniform = Some(Initialization::Uniform(Uniform { low, high }));
    assert_eq!(inits, [he.clone(), he.clone(), he, uniform]);
    assert_eq!(parse(SMALL).unwrap().layers()[0].init, None);

    // Number by number: of one layer, as many as it has.
    let given = |fields: &str| {
        let init = format!("units = 10\ninit = {{ type = \"values\", {fields} }}");
        parse(&SMALL.replace("units = 10", &init))
    };
    let count = recipe.layers()[3].parameters - 10;
    let many = format!("weight = {:?}", vec![1; count]);
    assert!(given(&many).is_ok() && given(&format!("{many}, bias = {:?}", [0; 10])).is_ok());
    for (fields, words) in [
        (
            "weight = [1, 2]".to_owned(),
            &["numbers of weight", "found 2"][..],
        ),
        (
            format!("{many}, bias = [1]"),
            &["10 numbers of bias", "found 1"],
        ),
        ("bias = [1]".to_owned(), &["init (values)", "weight"]),
    ] {
        has(&given(&fields).unwrap_err().to_string(), words);
    }

    let network = |init: &str| parse(&format!("{SMALL}init = {init}\n")).unwrap_err();
    for (init, words) in [
        (
            "\"hee\"",
            &[
                "[train]: init: type",
                "glorot, he, pytorch, zeros, values",
                "`hee`",
            ][..],
        ),
        ("7", &["init: type", "found 7"]),
        (
            "{ type = \"values\", weight = [1] }",
            &["init", "in the layer that has them"],
        ),
        ("{ mean = 1 }", &["init: type", "found none"]),
        (
            "{ type = \"he\", mean = 1 }",
            &["init (he)", "`mean`", "`distribution`"],
        ),
        (
            "{ type = \"zeros\", mean = 1 }",
            &["init (zeros)", "`mean`"],
        ),
        (
            "{ type = \"normal\", deviation = -1 }",
            &["deviation", "from 0", "found -1"],
        ),
        ("{ type = \"normal\", mean = nan }", &["mean", "found NaN"]),
        (
            "{ type = \"uniform\", low = 1 }",
            &["high", "from low, 1", "found 0.05"],
        ),
    ] {
        has(&network(init).to_string(), &[&["line 31"], words].concat());
    }
    let flat = message("\"flatten\"", "\"flatten\"\ninit = \"he\"");
    has(
        &flat,
        &[
            "line 17",
            "(flatten): init",
            "with weights of its own",
            "found a flatten",
        ],
    );
}

#[test]
fn only_what_has_weights_is_frozen_and_something_learns() {
    let recipe = parse(&SMALL.replace("filters = 4", "filters = 4\nfrozen = true")).unwrap();
    let frozen: Vec<bool> = recipe.layers().iter().map(|layer| layer.frozen).collect();
    assert_eq!(frozen, [true, false, false, false]);
    assert_eq!((recipe.frozen(), recipe.parameters()), (64, 64 + 7850));
    let flat = message("\"flatten\"", "\"flatten\"\nfrozen = true");
    has(
        &flat,
        &["line 17", "(flatten): frozen", "with weights of its own"],
    );
    let one = message("filters = 4", "filters = 4\nfrozen = 1");
    has(&one, &["line 7", "frozen", "true or false", "found 1"]);
    let all = SMALL
        .replace("filters = 4", "filters = 4\nfrozen = true")
        .replace("units = 10", "units = 10\nfrozen = true");
    has(
        &parse(&all).unwrap_err().to_string(),
        &["[train]", "a layer that learns", "all of them frozen"],
    );
}

#[test]
fn classes_have_a_weight_each() {
    let with = |weights: &str| parse(&format!("{SMALL}class_weights = {weights}\n"));
    let weights = |text: &str| with(text).unwrap().train.class_weights;
    assert_eq!(weights("\"balanced\""), Some(ClassWeights::Balanced));
    let ten = "[1, 2, 1, 1, 1, 1, 1, 1, 1, 0.5]";
    let Some(ClassWeights::Given(given)) = weights(ten) else {
        panic!("no weights");
    };
    assert_eq!((given[1], given[9]), (2.0, 0.5));
    for (weights, words) in [
        (
            "\"inverse\"",
            &["\"balanced\", or a list of 10", "found \"inverse\""][..],
        ),
        ("[1, 2]", &["10 numbers", "found 2 of them"]),
        (
            "[1, 2, 1, 1, 1, 1, 1, 1, 1, -0.5]",
            &["from 0 to 1e9", "found -0.5"],
        ),
        ("[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]", &["above 0"]),
    ] {
        let error = with(weights).unwrap_err().to_string();
        has(&error, &[&["line 31", "class_weights"], words].concat());
    }
    let numbers = TABLE
        .replace("class = \"state\"\nclasses = [\"off\", \"on\"]\n", "")
        .replace("outputs = [\"pe\", \"v\"]", "outputs = [\"pe\"]")
        .split("[[train.head]]")
        .next()
        .unwrap()
        .replace("units = 2\ninputs = [\"dense_1\"]", "units = 1");
    let numbers = numbers.replace("epochs = 3", "loss = \"mse\"\nepochs = 3");
    parse(&numbers).unwrap();
    let error = parse(&format!("{numbers}class_weights = \"balanced\"\n")).unwrap_err();
    has(
        &error.to_string(),
        &["class_weights", "want numbers, not classes"],
    );
}
