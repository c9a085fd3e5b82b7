//! Where data sets lie.

use std::path::{Path, PathBuf};

use super::{DATA_VARIABLE, SetInfo, find};
use crate::paths;

/// Where data sets lie: what `--data` gave, else `MOTE_DATA`, else `.cache/data` of the workspace.
pub fn folder(given: Option<&Path>) -> PathBuf {
    given
        .map(Path::to_path_buf)
        .or_else(|| std::env::var_os(DATA_VARIABLE).map(PathBuf::from))
        .unwrap_or_else(|| paths::cache_dir().join("data"))
}

/// The folders that are looked through where none is given: `MOTE_DATA`, what `scripts/setup` fetches into, `shared/data`
/// beside the workspace, and `models/data`, which holds small sets.
fn usual() -> Vec<PathBuf> {
    let root = paths::workspace_root();
    let mut folders = vec![folder(None), paths::cache_dir().join("data")];
    folders.extend(root.parent().map(|beside| beside.join("shared/data")));
    folders.push(paths::models_dir().join("data"));
    folders
}

/// The folder in which `file` lies: the one given, else the first of the usual ones that has it, or a `.gz` of it.
pub(crate) fn holding(given: Option<&Path>, file: &Path) -> PathBuf {
    if given.is_some() {
        return folder(given);
    }
    let mut usual = usual().into_iter();
    let holds = |base: &PathBuf| has(base, file);
    usual.find(holds).unwrap_or_else(|| folder(None))
}

/// The folder in which `file` lies, and what takes its place where `given` is no folder.
pub(crate) fn place<'a>(given: Option<&'a Path>, file: &Path) -> (PathBuf, Option<&'a Path>) {
    let folder = holding(given, file);
    let instead = given.filter(|_| !folder.is_dir());
    (folder, instead)
}

/// Whether `file`, which may be a folder, lies in `base`, as it is or as a `.gz`.
pub(crate) fn has(base: &Path, file: &Path) -> bool {
    let path = base.join(file);
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let file = path.parent().and_then(|folder| find(folder, &name));
    file.is_some() || path.is_dir()
}

impl SetInfo {
    /// The directory that holds the set's files.
    ///
    /// `directory` is what `--data` gave; else the first of the usual folders that has the set: `MOTE_DATA`,
    /// `.cache/data` of the workspace, `shared/data` beside it, `models/data`. Each holds the files themselves or a folder
    /// of the set's name.
    pub fn directory(&self, directory: Option<&Path>) -> PathBuf {
        let given = folder(directory);
        let named = given.join(self.folder);
        if directory.is_none() && !self.lies_in(&given) {
            let mut usual = usual().into_iter();
            if let Some(base) = usual.find(|base| self.lies_in(&base.join(self.folder))) {
                return base.join(self.folder);
            }
        }
        match !named.is_dir() && self.holds(&given) {
            true => given,
            false => named,
        }
    }

    /// Whether any of its files lies in `base`, or in the folder of its name there.
    pub(crate) fn lies_in(&self, base: &Path) -> bool {
        self.holds(base) || self.holds(&base.join(self.folder))
    }

    fn holds(&self, folder: &Path) -> bool {
        let mut files = self.files.iter();
        files.any(|file| find(folder, file.name).is_some())
    }
}
