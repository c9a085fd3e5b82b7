//! What a section of `[data]` that says where samples come from has to offer: each is one file here.

use std::path::Path;

use super::error::Misfit;
use crate::data::{DataError, DataSet, Part};

/// A section such as `[data.table]`.
pub(super) trait Section {
    /// Height, width and channels of a sample, or fewer axes.
    fn sample_shape(&self) -> Vec<usize>;

    /// The names of the classes; none where numbers alone are wanted.
    fn classes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The names of the numbers that a sample wants.
    fn outputs(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether samples are pictures, which can be varied; numbers stay as they are.
    fn pictures(&self) -> bool {
        false
    }

    /// Whether its fields fit each other.
    fn check(&self) -> Result<(), Misfit>;

    /// Whether its files lie in `folder`.
    fn is_in(&self, folder: &Path) -> bool;

    /// Reads one part. `given` is what `--data` says: a folder, or the file of a table or a series, perhaps with its
    /// symbol. `outputs` are places of wanted numbers, in the order of the network's outputs.
    ///
    /// # Errors
    /// Files that are missing or damaged, series that are too short.
    fn load(
        &self,
        given: Option<&Path>,
        outputs: &[usize],
        part: Part,
    ) -> Result<DataSet, DataError>;
}
