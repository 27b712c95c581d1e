"""CIFAR-10 and CIFAR-100 in their binary form: records of label bytes and 3 x 32 x 32 pixels."""

import os
import shutil
import tarfile
from dataclasses import dataclass

import numpy as np

from cconv.data.sources import cache_folder, fetch, folders

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Set:
    folder: str  # in the archive
    train: tuple
    test: tuple
    labels: int  # bytes before the pixels; the last one is the class
    classes: int
    records: int  # in each file but CIFAR-100's training file
    url: str
    sha256: str


_SETS = {
    "cifar10": _Set(
        "cifar-10-batches-bin", tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",), 1, 10, 10_000,
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    "cifar100": _Set(
        "cifar-100-binary", ("train.bin",), ("test.bin",), 2, 100, 50_000,
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
}  # fmt: skip


def cifar10(root=None, raw=False):
    """CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 pixels in 10 classes.

    The files of the binary version (`data_batch_1.bin` ... `test_batch.bin`) are looked for in `root`, its
    subfolders `cifar10` and `cifar-10-batches-bin`, then likewise in the folder that the environment variable
    CCONV_DATA names, then in the cache folder. When they are found nowhere the archive is downloaded and
    unpacked into the cache; that needs `pip install cconv[data]`, once. With `root` given, nothing else is
    searched and nothing is downloaded.

    Parameters
    ----------
    root : path-like, optional
    raw : bool
        Return images as uint8 of 0 to 255 instead of float32 of 0 to 1: a quarter of the memory.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x (N, 3, 32, 32) red, green, blue; y (N,) int64 of 0 to 9: airplane, automobile, bird, cat, deer, dog,
        frog, horse, ship, truck.

    Raises
    ------
    FileNotFoundError
        When `root` lacks one of the files.
    ImportError
        When a download is needed and pooch is not installed.
    OSError
        When the download fails.
    ValueError
        Naming the file whose length is not a whole number of records, or that has a label out of range.

    References
    ----------
    A. Krizhevsky. Learning multiple layers of features from tiny images. 2009.
    """
    return _load("cifar10", root, raw)


def cifar100(root=None, raw=False):
    """CIFAR-100: 50,000 + 10,000 photographs like CIFAR-10's, in 100 (fine) classes.

    Found, downloaded and returned as by `cifar10`; the files are `train.bin` and `test.bin`, in the folder
    `cifar-100-binary`.

    References
    ----------
    A. Krizhevsky. Learning multiple layers of features from tiny images. 2009.
    """
    return _load("cifar100", root, raw)


def _load(name, root, raw):
    data_set = _SETS[name]
    folder = _find(name, data_set, root) or _download(name, data_set)
    return tuple(_read([folder / part for part in parts], data_set, raw) for parts in (data_set.train, data_set.test))


def _find(name, data_set, root):
    places = [place for base in folders(name, root) for place in (base, base / data_set.folder)]
    parts = (*data_set.train, *data_set.test)
    for place in places:
        if all((place / part).is_file() for part in parts):
            return place
    if root is not None:
        raise FileNotFoundError(f"no folder with {', '.join(parts)}: looked in {', '.join(map(str, places))}")
    return None


def _download(name, data_set):
    archive = fetch(name, [data_set.url], data_set.sha256, f"the folder {data_set.folder}")
    folder = cache_folder() / name / data_set.folder
    unpack(archive, data_set.folder, (*data_set.train, *data_set.test), folder)
    archive.unlink()
    return folder


def unpack(archive, inner, names, folder):
    """Write the files `inner/name` of a tar archive, and nothing else of it, into `folder`.

    Raises
    ------
    ValueError
        When the archive is damaged or lacks one of them as an ordinary file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = set(names)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                head, _, name = member.name.rpartition("/")
                if head.removeprefix("./") == inner and name in missing and member.isreg():
                    partial = folder / f"{name}.{os.getpid()}.part"
                    with tar.extractfile(member) as source, partial.open("wb") as target:
                        shutil.copyfileobj(source, target)
                    partial.replace(folder / name)
                    missing.remove(name)
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{archive}: damaged archive: {error}") from None
    if missing:
        raise ValueError(f"{archive} has no {', '.join(f'{inner}/{name}' for name in sorted(missing))}")


def _read(paths, data_set, raw):
    length = data_set.labels + _PIXELS
    records = []
    for path in paths:
        size = path.stat().st_size
        if size == 0 or size % length or size > data_set.records * length:
            raise ValueError(f"{path}: {size} bytes are not 1 to {data_set.records} records of {length} bytes")
        records.append(np.fromfile(path, np.uint8).reshape(-1, length))
        labels = records[-1][:, data_set.labels - 1]
        if labels.max() >= data_set.classes:
            raise ValueError(f"{path}: label {labels.max()}, expected 0 to {data_set.classes - 1}")
    table = np.concatenate(records) if len(records) > 1 else records[0]
    y = table[:, data_set.labels - 1].astype(np.int64)
    x = np.ascontiguousarray(table[:, data_set.labels :]).reshape(-1, 3, 32, 32)
    if not raw:
        x = x.astype(np.float32)
        x /= np.float32(255)
    return x, y
