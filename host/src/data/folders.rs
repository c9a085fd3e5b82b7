//! Images in folders, one for each class: PNG and JPEG files, brought to one size.
//!
//! ```text
//! pets/cat/*.png *.jpg
//! pets/dog/*.png *.jpg
//! ```
//!
//! Files whose names begin with a dot are passed over; a file of another kind is refused, and so is a folder that is no
//! class. Pictures are turned as their camera says, scaled with no regard to their proportions, and lose transparency.

use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader};
use rayon::prelude::*;
use serde::Deserialize;

use super::{DataSet, Part, Stream};

/// Where the images lie, and what they become: the section `[data.folders]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folders {
    /// A folder in the folder of the data sets, which holds a folder for each class.
    pub folder: PathBuf,
    /// The one that is tested on; else images of `folder` are.
    #[serde(default)]
    pub test: Option<PathBuf>,
    /// The share of each class's images that is learnt from, where there is no `test`; 0.8 when not given.
    #[serde(default)]
    pub train: Option<f64>,
    /// The classes' folders, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// Rows and columns that every image is brought to.
    pub size: [usize; 2],
    /// Whether colours stay.
    pub color: Color,
}

/// The channels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// One: luminance.
    Grey,
    /// Red, green and blue.
    Rgb,
}

impl Color {
    /// How many there are.
    pub fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// Why folders hold no data set.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder cannot be read.
    #[error(
        "cannot read the folder {path}; say where the data sets lie with --data DIR or the environment variable MOTE_DATA"
    )]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder that is no class.
    #[error(
        "{path}: wanted a folder of one of the classes {wanted}; add it to `classes` in [data.folders], or move it away"
    )]
    Unlisted {
        /// The folder.
        path: PathBuf,
        /// The classes.
        wanted: String,
    },
    /// A class without images.
    #[error("{path}: wanted {wanted} or more images, found {found}")]
    Few {
        /// The class's folder.
        path: PathBuf,
        /// How many there must be.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// A file that is none of the kinds that are read.
    #[error("{path}: wanted a .png, .jpg or .jpeg file; move others away")]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// A damaged image, or one of another kind than its name says.
    #[error("{path}: no image that can be read: {source}")]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<ImageError>,
    },
}

/// The share that is learnt from, when not given.
const TRAIN: f64 = 0.8;

impl Folders {
    /// Rows, columns and channels of an image.
    pub fn shape(&self) -> [usize; 3] {
        let [height, width] = self.size;
        [height, width, self.color.channels()]
    }

    /// Reads one part; `data` is where data sets lie.
    ///
    /// # Errors
    /// [`FolderError`], with the file.
    pub fn load(&self, data: &Path, part: Part) -> Result<DataSet, FolderError> {
        let folder = data.join(match (&self.test, part) {
            (Some(test), Part::Test) => test,
            _ => &self.folder,
        });
        self.refuse_unlisted(&folder)?;
        let (mut files, mut labels) = (Vec::new(), Vec::new());
        for (label, class) in self.classes.iter().enumerate() {
            let folder = folder.join(class);
            let all = images(&folder)?;
            let chosen = match self.test {
                Some(_) => all,
                None => self.divide(all, label, part),
            };
            // One of each part, where a folder is divided.
            if chosen.is_empty() {
                let wanted = if self.test.is_some() { 1 } else { 2 };
                let found = images(&folder)?.len();
                return Err(FolderError::Few {
                    path: folder,
                    wanted,
                    found,
                });
            }
            // A recipe names at most 256 classes.
            labels.extend(chosen.iter().map(|_| label as u8));
            files.extend(chosen);
        }
        // All are read, so that of several damaged ones it is always the same that is told.
        let read: Vec<_> = files.par_iter().map(|file| self.read(file)).collect();
        let images: Vec<Vec<u8>> = read.into_iter().collect::<Result<_, _>>()?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Ok(DataSet {
            name: name.into_owned(),
            shape: self.shape(),
            classes: self.classes.len(),
            images: images.concat(),
            labels,
            values: None,
        })
    }

    fn refuse_unlisted(&self, folder: &Path) -> Result<(), FolderError> {
        for path in entries(folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && !self.classes.iter().any(|class| *class == name) {
                let wanted = self.classes.join(", ");
                return Err(FolderError::Unlisted { path, wanted });
            }
        }
        Ok(())
    }

    /// Those of a class's files that belong to a part: drawn at random, always the same.
    fn divide(&self, mut files: Vec<PathBuf>, label: usize, part: Part) -> Vec<PathBuf> {
        Stream::new(0, Stream::SPLIT, 0, label as u64).shuffle(&mut files);
        let share = self.train.unwrap_or(TRAIN);
        // A share of a count: never negative, never above the count.
        let learnt = ((files.len() as f64) * share).round() as usize;
        let test = files.split_off(learnt.min(files.len()));
        match part {
            Part::Train => files,
            Part::Test => test,
        }
    }

    /// The pixels of an image, brought to size.
    fn read(&self, path: &Path) -> Result<Vec<u8>, FolderError> {
        let refuse = |source: ImageError| FolderError::Image {
            path: path.to_path_buf(),
            source: Box::new(source),
        };
        let decode = || {
            let mut decoder = ImageReader::open(path)?
                .with_guessed_format()?
                .into_decoder()?;
            let turn = decoder.orientation()?;
            let mut image = DynamicImage::from_decoder(decoder)?;
            image.apply_orientation(turn);
            Ok(image)
        };
        let image: DynamicImage = decode().map_err(refuse)?;
        // A recipe keeps sizes far below 2^32.
        let [height, width] = self.size.map(|length| length as u32);
        let filter = FilterType::Triangle;
        Ok(match self.color {
            Color::Grey => {
                image::imageops::resize(&image.into_luma8(), width, height, filter).into_raw()
            }
            Color::Rgb => {
                image::imageops::resize(&image.into_rgb8(), width, height, filter).into_raw()
            }
        })
    }
}

/// What a folder holds, by name, less what begins with a dot.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let refuse = |source| FolderError::Read {
        path: folder.to_path_buf(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The images of a folder, by name.
fn images(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let paths = entries(folder)?;
    for path in &paths {
        let kind = path.extension().unwrap_or_default().to_string_lossy();
        let kind = kind.to_ascii_lowercase();
        if !matches!(kind.as_str(), "png" | "jpg" | "jpeg") {
            return Err(FolderError::Kind { path: path.clone() });
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Rgb, RgbImage};

    use super::*;

    /// A folder that is gone at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let place = std::env::temp_dir().join(format!("mote-{name}-{}", std::process::id()));
            std::fs::create_dir_all(place.join("pets/cat")).unwrap();
            std::fs::create_dir_all(place.join("pets/dog")).unwrap();
            Self(place)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join("pets").join(name)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn folders(color: Color) -> Folders {
        Folders {
            folder: "pets".into(),
            test: None,
            train: Some(0.5),
            classes: vec!["cat".to_owned(), "dog".to_owned()],
            size: [2, 3],
            color,
        }
    }

    #[test]
    fn images_are_brought_to_size_and_divided() {
        let place = Place::new("folders");
        for index in 0..4u8 {
            let grey = GrayImage::from_pixel(9, 4, image::Luma([10 * index]));
            grey.save(place.file(&format!("cat/{index}.png"))).unwrap();
            let red = RgbImage::from_pixel(6, 8, Rgb([200, 0, 0]));
            red.save(place.file(&format!("dog/{index}.PNG"))).unwrap();
        }
        std::fs::write(place.file("cat/.hidden"), "").unwrap();
        let rgb = folders(Color::Rgb);
        let train = rgb.load(&place.0, Part::Train).unwrap();
        let test = rgb.load(&place.0, Part::Test).unwrap();
        assert_eq!(train.shape, [2, 3, 3]);
        assert_eq!(train.labels, [0, 0, 1, 1]);
        assert_eq!(train.image(3), [200, 0, 0].repeat(6));
        assert_eq!(train, rgb.load(&place.0, Part::Train).unwrap());
        // Each image is in one part.
        let cats = [train.image(0), train.image(1), test.image(0), test.image(1)];
        let mut seen = cats.map(|image| image[0]);
        seen.sort_unstable();
        assert_eq!(seen, [0, 10, 20, 30]);
        // Red's share of luminance (ITU-R BT.709), 0.2126.
        let grey = folders(Color::Grey).load(&place.0, Part::Train).unwrap();
        assert_eq!(grey.image(3), [43; 6]);
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        let place = Place::new("no-folders");
        let load = || folders(Color::Grey).load(&place.0, Part::Train);
        let error = load().unwrap_err().to_string();
        assert!(
            error.ends_with("cat: wanted 2 or more images, found 0"),
            "{error}"
        );
        std::fs::write(place.file("cat/notes.txt"), "").unwrap();
        let error = load().unwrap_err().to_string();
        assert!(error.contains("notes.txt: wanted a .png"), "{error}");
        std::fs::remove_file(place.file("cat/notes.txt")).unwrap();
        for name in ["cat/1.jpg", "cat/2.jpg", "dog/1.png", "dog/2.png"] {
            std::fs::write(place.file(name), "no image").unwrap();
        }
        let error = load().unwrap_err().to_string();
        // A cat: classes are read in their order.
        assert!(error.contains(".jpg: no image that can be read"), "{error}");
        assert!((0..20).all(|_| load().unwrap_err().to_string() == error));
        std::fs::create_dir(place.file("bird")).unwrap();
        let error = load().unwrap_err().to_string();
        assert!(
            error.contains("bird: wanted a folder of one of the classes cat, dog"),
            "{error}"
        );
        let nowhere = folders(Color::Grey).load(&place.0.join("none"), Part::Test);
        let error = nowhere.unwrap_err().to_string();
        assert!(error.contains("cannot read the folder"), "{error}");
    }
}
