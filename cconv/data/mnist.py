"""MNIST and Fashion-MNIST: found on disk, or downloaded once with pinned digests."""

import numpy as np

from cconv.data.idx import read_idx
from cconv.data.sources import fetch, folders

# Parts in the order (x_train, y_train, x_test, y_test); every mirror holds `<part>.gz`.
_PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_SOURCES = {
    "mnist": {
        "mirrors": (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        "sha256": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    },
    "fashion_mnist": {
        "mirrors": (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        "sha256": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    },
}


def mnist(root=None, raw=False):
    """MNIST: 60,000 + 10,000 handwritten digits of 28x28 pixels.

    The four IDX files under their original names, compressed (`.gz`) or not, are looked for in `root` and
    its subfolder `mnist`, then in the folder that the environment variable CCONV_DATA names and its `mnist`,
    then in the cache folder. Files found nowhere are downloaded into the cache; that needs
    `pip install cconv[data]`, once. With `root` given, nothing else is searched and nothing is downloaded.

    Parameters
    ----------
    root : path-like, optional
    raw : bool
        Return images as uint8 of 0 to 255 instead of float32 of 0 to 1.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x (N, 1, 28, 28), y (N,) int64 of 0 to 9.

    Raises
    ------
    FileNotFoundError
        When `root` lacks one of the files.
    ImportError
        When a download is needed and pooch is not installed.
    OSError
        When every mirror fails.
    ValueError
        Naming the file that is damaged, or the two files that do not belong together.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document recognition. 1998.
    """
    return _load("mnist", root, raw)


def fashion_mnist(root=None, raw=False):
    """Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28x28 pixels, in MNIST's format.

    Found, downloaded and returned as by `mnist`; the subfolder is `fashion_mnist`. The files bear the same
    names as MNIST's, so folders named by CCONV_DATA are searched in that subfolder only.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf. Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms. 2017, arXiv:1708.07747.
    """
    return _load("fashion_mnist", root, raw)


def _load(name, root, raw):
    paths = [_find(name, part, root) or _download(name, part) for part in _PARTS]
    x_train, y_train = _pair(paths[0], paths[1], raw)
    x_test, y_test = _pair(paths[2], paths[3], raw)
    return (x_train, y_train), (x_test, y_test)


def _find(name, part, root):
    # The files of both sets bear the same names: only MNIST's may lie in the folder itself.
    places = folders(name, root, itself=name == "mnist" or root is not None)
    for folder in places:
        for path in (folder / f"{part}.gz", folder / part):
            if path.is_file():
                return path
    if root is not None:
        raise FileNotFoundError(f"{part}[.gz] is neither in {places[0]} nor in {places[1]}")
    return None


def _download(name, part):
    source = _SOURCES[name]
    urls = [f"{mirror}{part}.gz" for mirror in source["mirrors"]]
    wanted = f"{part}.gz and the three other files"
    return fetch(name, urls, source["sha256"][_PARTS.index(part)], wanted)


def _pair(images_path, labels_path, raw):
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(f"{images_path} has {len(images)} images, {labels_path} has {len(labels)} labels")
    if labels.size and labels.max() > 9:
        raise ValueError(f"{labels_path}: label {labels.max()}, expected 0 to 9")
    x = images[:, None]
    if not raw:
        x = x.astype(np.float32)
        x /= np.float32(255)
    return (x, labels.astype(np.int64))
