//! Fashion-MNIST: 70,000 pictures of clothes, 28 x 28, one channel (Xiao, Rasul, Vollgraf, 2017), as MNIST is cut.

use super::{SetFile, SetInfo, mnist};

/// Fashion-MNIST, as the four IDX files of its authors.
pub(super) const FASHION: SetInfo = SetInfo {
    name: "fashion-mnist",
    folder: "fashion-mnist",
    title: "clothes, white on black",
    shape: [28, 28, 1],
    classes: &[
        "T-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ],
    samples: [60_000, 10_000],
    source: "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, a novel image dataset (MIT licence)",
    fetch: "scripts/setup --fashion",
    files: &[
        SetFile {
            name: "train-images-idx3-ubyte",
            sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        },
        SetFile {
            name: "train-labels-idx1-ubyte",
            sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        },
        SetFile {
            name: "t10k-images-idx3-ubyte",
            sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        },
        SetFile {
            name: "t10k-labels-idx1-ubyte",
            sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ],
    load: mnist::load,
};
