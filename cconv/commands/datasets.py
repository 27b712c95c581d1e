"""The data sets that the verbs know, and how networks are trained on each."""

from dataclasses import dataclass
from pathlib import Path

_FASHION = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class DataSet:
    """One line of the table.

    Attributes
    ----------
    channels, side, classes : int
    names : of the classes; empty where their numbers say enough
    frame : share of the image that the ink of a digit fills, or None where the whole image counts
    epochs, batch_size, shift : int; shift in pixels, each way
    flip : whether a mirrored image is as good
    lr : of sgd at its peak, and of adam
    weight_decay : float
    """

    channels: int
    side: int
    classes: int
    names: tuple
    frame: float | None
    epochs: int
    batch_size: int
    shift: int
    flip: bool
    lr: tuple
    weight_decay: float


TABLE = {
    "digits": DataSet(1, 28, 10, (), 6 / 7, 30, 32, 2, False, (0.05, 0.003), 0.0),
    "mnist": DataSet(1, 28, 10, (), 5 / 7, 3, 64, 0, False, (0.05, 0.002), 0.0),
    "fashion_mnist": DataSet(1, 28, 10, _FASHION, None, 10, 64, 0, False, (0.05, 0.002), 0.0),
    "cifar10": DataSet(3, 32, 10, _CIFAR10, None, 30, 128, 4, True, (0.2, 0.003), 5e-4),
    "cifar100": DataSet(3, 32, 100, (), None, 30, 128, 4, True, (0.2, 0.003), 5e-4),
}


def described(name, side):
    """The DataSet called `name`; a folder with train/CLASS and test/CLASS is one of `side` x `side` pixels."""
    if name in TABLE:
        return TABLE[name]
    folder = Path(name)
    if not (folder / "train").is_dir() or not (folder / "test").is_dir():
        raise ValueError(
            f"there is no data set {name!r}: name one of {', '.join(TABLE)}, or a folder with train/CLASS/IMAGE and "
            "test/CLASS/IMAGE"
        )
    names = tuple(sorted(path.name for path in (folder / "train").iterdir() if path.is_dir()))
    return DataSet(3, side or 224, len(names), names, None, 30, 32, (side or 224) // 16, True, (0.05, 0.001), 1e-4)


def load(name, root, shape):
    """(train, test) of the data set `name` for a network that takes `shape` = (channels, height, width)."""
    from cconv import data

    channels, *size = shape
    if name not in TABLE:
        folder = Path(name)
        train, test = (data.ImageFolder(folder / part, tuple(size), channels) for part in ("train", "test"))
        if train.classes != test.classes:
            raise ValueError(f"{folder}: train and test must have the same classes")
        return (train, train.labels), (test, test.labels)
    if name == "digits":
        parts = data.digits(size[0])
    elif name in ("mnist", "fashion_mnist"):
        parts = getattr(data, name)(root)
    else:
        parts = getattr(data, name)(root, raw=True)
    return tuple((_fitted(x, size, channels), y) for x, y in parts)


def _fitted(x, size, channels):
    from cconv.data import Resized

    if x.shape[1:] == (channels, *size):
        return x
    return Resized(x, tuple(size), channels)
