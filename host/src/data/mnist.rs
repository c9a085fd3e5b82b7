//! MNIST: 70,000 handwritten digits, 28 x 28, one channel (LeCun, Cortes, Burges, 1998).

use std::path::Path;

use super::{DataError, DataSet, Part, SetFile, SetInfo, find, idx_files};

/// MNIST, as the four IDX files of its authors.
pub(super) const MNIST: SetInfo = SetInfo {
    name: "mnist",
    folder: "mnist",
    title: "handwritten digits, white on black",
    shape: [28, 28, 1],
    classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    samples: [60_000, 10_000],
    source: "Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits",
    fetch: "scripts/setup",
    files: &[
        SetFile {
            name: "train-images-idx3-ubyte",
            sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        },
        SetFile {
            name: "train-labels-idx1-ubyte",
            sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        },
        SetFile {
            name: "t10k-images-idx3-ubyte",
            sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        },
        SetFile {
            name: "t10k-labels-idx1-ubyte",
            sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ],
    load,
};

/// Reads four IDX files as MNIST's.
pub(super) fn load(set: &SetInfo, directory: &Path, part: Part) -> Result<DataSet, DataError> {
    let [images, labels] = match part {
        Part::Train => [&set.files[0], &set.files[1]],
        Part::Test => [&set.files[2], &set.files[3]],
    };
    let file = |file: &SetFile| {
        find(directory, file.name).ok_or_else(|| DataError::Missing {
            set: set.name,
            file: file.name,
            directory: directory.to_path_buf(),
            fetch: set.fetch,
        })
    };
    let (images, labels) = (file(images)?, file(labels)?);
    idx_files::read(set.name, &images, &labels, set.shape, set.classes.len())
}
