//! Images of folders and IDX files.

use super::*;

const PETS: &str = r#"
name = "pets"
[data]
set = "folders"
augment = { rotate = 10, flip = "horizontal" }
[data.folders]
folder = "pets"
classes = ["cat", "dog"]
size = [50, 40]
color = "rgb"
[[layer]]
type = "flatten"
[[layer]]
type = "dense"
units = 1
activation = "sigmoid"
[train]
loss = "binary_cross_entropy"
epochs = 1
batch = 32
seed = 1
optimizer = { type = "adam", learning_rate = 0.001 }
"#;

#[test]
fn images_of_folders_and_idx_files_have_the_shape_and_classes_of_the_recipe() {
    let recipe = parse(PETS).unwrap();
    assert_eq!(recipe.sample_shape(), [50, 40, 3]);
    assert_eq!(recipe.classes(), ["cat", "dog"]);
    assert_eq!(recipe.parameters(), 50 * 40 * 3 + 1);
    for (from, to, words) in [
        ("[50, 40]", "[50, 0]", "rows and columns from 1 to 4096"),
        ("\"dog\"]", "\"cat\"]", "`cat` a second time"),
        (", \"dog\"]", "]", "2 to 256 classes"),
        ("\"rgb\"", "\"cmyk\"", "`grey` or `rgb`"),
        ("\"horizontal\"", "\"twice\"", "`horizontal`"),
        ("\"folders\"", "\"idx\"", "a section [data.idx]"),
        ("\"folders\"", "\"mnist\"", "set = \"folders\" beside"),
        ("color", "train = 1.0\ncolor", "below 1"),
        (
            "color",
            "train = 0.5\ntest = \"others\"\ncolor",
            "nothing beside `test`",
        ),
    ] {
        assert!(PETS.contains(from), "{from}");
        let error = parse(&PETS.replacen(from, to, 1)).unwrap_err();
        has(&error.to_string(), &[words]);
    }
    let (start, end) = (
        PETS.find("[data.folders]").unwrap(),
        PETS.find("[[layer]]").unwrap(),
    );
    let idx = "[data.idx]\nimages = \"a\"\nlabels = \"b\"\ntest_images = \"c\"\ntest_labels = \"d\"\n\
               classes = [\"cat\", \"dog\"]\nshape = [5, 4, 3]\n";
    let idx = [&PETS[..start], idx, &PETS[end..]].concat();
    let idx = idx.replacen("\"folders\"", "\"idx\"", 1);
    let recipe = parse(&idx).unwrap();
    assert_eq!(recipe.sample_shape(), [5, 4, 3]);
    let error = parse(&idx.replacen("[5, 4, 3]", "[5, 4, 0]", 1)).unwrap_err();
    has(&error.to_string(), &["idx.shape", "[5, 4, 0]"]);
}
