use super::*;

fn checkpoint() -> Checkpoint {
    let progress = Progress {
        recipe: "name = \"é\"\n".to_owned(),
        seed: u64::MAX,
        epochs: 5,
        limit: None,
        epoch: 2,
        batch: 17,
        step: 1017,
        running: Running {
            samples: 3,
            correct: 2,
            loss: 0.1 + 0.2,
        },
        best_accuracy: Some(0.99),
        start: None,
        best: Some(Best {
            epoch: 2,
            value: 0.5,
            waited: 1,
        }),
    };
    let values = |shape: &[usize]| Values {
        shape: shape.to_vec(),
        values: (0..shape.iter().product())
            .map(|value| value as f32 / 3.0)
            .collect(),
    };
    let tensors = BTreeMap::from([
        ("dense_1.weight".to_owned(), values(&[2, 3])),
        ("dense_1.bias".to_owned(), values(&[2])),
        (
            Checkpoint::moment_name("mean", "dense_1.bias"),
            values(&[2]),
        ),
    ]);
    Checkpoint { progress, tensors }
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("mote-{}-{name}", std::process::id()))
}

#[test]
fn comes_back_bit_for_bit_and_the_same_bytes_each_time() {
    let directory = scratch("roundtrip");
    let path = directory.join("deeper/checkpoint.safetensors");
    checkpoint().save(&path).unwrap();
    let first = std::fs::read(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    loaded.save(&path).unwrap();
    let second = std::fs::read(&path).unwrap();
    let files = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(loaded, checkpoint());
    assert_eq!(first, second);
    assert_eq!(files, 1);
}

#[test]
fn tells_parameters_from_moments() {
    let checkpoint = checkpoint();
    let names: Vec<&str> = checkpoint.parameters().map(|(name, _)| name).collect();
    assert_eq!(names, ["dense_1.bias", "dense_1.weight"]);
    let names: Vec<&str> = checkpoint.moments("mean").map(|(name, _)| name).collect();
    assert_eq!(names, ["dense_1.bias"]);
}

#[test]
fn a_cut_file_is_refused_at_every_byte() {
    let path = scratch("cut.safetensors");
    checkpoint().save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(Checkpoint::load(&path).is_err(), "{length} bytes");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_foreign_file_and_a_wrong_shape_are_named() {
    let path = scratch("foreign.safetensors");
    let none: Vec<(&str, TensorView<'_>)> = Vec::new();
    std::fs::write(&path, safetensors::serialize(none, None).unwrap()).unwrap();
    let error = Checkpoint::load(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(error.contains("metadata entry `mote`"), "{error}");

    let error = checkpoint()
        .tensor("dense_1.bias", &[3])
        .unwrap_err()
        .to_string();
    assert!(error.contains("wanted the shape [3], found [2]"), "{error}");
    let error = checkpoint()
        .tensor("dense_2.bias", &[3])
        .unwrap_err()
        .to_string();
    assert!(error.contains("no tensor `dense_2.bias`"), "{error}");
}
