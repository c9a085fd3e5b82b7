//! Labelled images in pairs of IDX files: one of images, one of their classes.

use std::path::Path;

use serde::Deserialize;

use super::{DataError, DataSet, Idx, Part, find};

/// The files, and what is in them: the section `[data.idx]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdxFiles {
    /// Images to learn from, in the folder of the data sets; the file itself or with `.gz` after its name.
    pub images: String,
    /// Their classes, from 0.
    pub labels: String,
    /// Images to test on.
    pub test_images: String,
    /// Their classes.
    pub test_labels: String,
    /// Rows, columns and channels of an image.
    pub shape: [usize; 3],
    /// The names of the classes, in the order of the labels.
    pub classes: Vec<String>,
}

impl IdxFiles {
    /// Reads one part; `folder` is where data sets lie.
    ///
    /// # Errors
    /// Files that are missing, damaged, or do not belong together.
    pub fn load(&self, folder: &Path, part: Part) -> Result<DataSet, DataError> {
        let [images, labels] = match part {
            Part::Train => [&self.images, &self.labels],
            Part::Test => [&self.test_images, &self.test_labels],
        };
        let file = |name: &str| {
            find(folder, name).ok_or_else(|| DataError::NoFile {
                path: folder.join(name),
            })
        };
        let name = Path::new(images).parent().and_then(Path::file_name);
        let name = name.map_or("idx".into(), |name| name.to_string_lossy());
        read(
            &name,
            &file(images)?,
            &file(labels)?,
            self.shape,
            self.classes.len(),
        )
    }
}

/// The images of one file with the classes of another.
///
/// # Errors
/// Files that are damaged, or do not belong together.
pub(super) fn read(
    name: &str,
    images_path: &Path,
    labels_path: &Path,
    shape: [usize; 3],
    classes: usize,
) -> Result<DataSet, DataError> {
    let (images, labels) = (Idx::read(images_path)?, Idx::read(labels_path)?);
    let content = |path: &Path, wanted: String, found: String| DataError::Content {
        path: path.to_path_buf(),
        wanted,
        found,
    };
    let [height, width, channels] = shape;
    let sizes = images.dimensions.get(1..).unwrap_or_default();
    if sizes != [height, width, channels] && (sizes != [height, width] || channels != 1) {
        let wanted = format!("images of {height} x {width} x {channels}");
        let found = format!("the sizes {:?}", images.dimensions);
        return Err(content(images_path, wanted, found));
    }
    let count = images.dimensions.first().copied().unwrap_or(0);
    if labels.dimensions != [count] {
        let wanted = format!("{count} labels, one for each image");
        let found = format!("{:?}", labels.dimensions);
        return Err(content(labels_path, wanted, found));
    }
    let mut all = labels.values.iter();
    if let Some(label) = all.find(|&&label| usize::from(label) >= classes) {
        let wanted = format!("labels below {classes}");
        return Err(content(labels_path, wanted, label.to_string()));
    }
    Ok(DataSet {
        name: name.to_owned(),
        shape,
        classes,
        images: images.values,
        labels: labels.values,
        values: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_files_is_a_set_where_both_fit() {
        let place = std::env::temp_dir().join(format!("mote-idx-pair-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let header = |rank: u8, sizes: &[u32]| {
            let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
            [0, 0, 8, rank]
                .into_iter()
                .chain(sizes)
                .collect::<Vec<u8>>()
        };
        let pixels: Vec<u8> = (0..12).collect();
        let images = [header(4, &[2, 1, 2, 3]), pixels.clone()].concat();
        std::fs::write(place.join("images"), images).unwrap();
        std::fs::write(place.join("labels"), [header(1, &[2]), vec![1, 0]].concat()).unwrap();
        let mut files = IdxFiles {
            images: "images".to_owned(),
            labels: "labels".to_owned(),
            test_images: "images".to_owned(),
            test_labels: "others".to_owned(),
            shape: [1, 2, 3],
            classes: vec!["cat".to_owned(), "dog".to_owned()],
        };
        let set = files.load(&place, Part::Train).unwrap();
        assert_eq!((set.images, set.labels), (pixels, vec![1, 0]));
        let error = |files: &IdxFiles, part| files.load(&place, part).unwrap_err().to_string();
        let found = error(&files, Part::Test);
        assert!(found.contains("no ") && found.contains("others"), "{found}");
        files.shape = [2, 1, 3];
        let found = error(&files, Part::Train);
        assert!(
            found.contains("images: wanted images of 2 x 1 x 3, found the sizes [2, 1, 2, 3]"),
            "{found}"
        );
        files.shape = [1, 2, 3];
        files.classes.pop();
        let found = error(&files, Part::Train);
        assert!(
            found.contains("labels: wanted labels below 1, found 1"),
            "{found}"
        );
        std::fs::remove_dir_all(&place).unwrap();
    }
}
