"""Data sets, the IDX reader under hostile files, batches."""

import gzip
import hashlib
import os
import struct
import sys

import numpy as np
import pytest

from cconv.data import DataLoader, RandomShift, digits, fashion_mnist, mnist
from cconv.data.idx import read_idx

PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array):
    return (
        bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


def write_mnist(folder, packed=True, count=6):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (count, 28, 28)), np.arange(count) % 10] * 2
    for part, array in zip(PARTS, arrays, strict=True):
        if packed:
            (folder / f"{part}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / part).write_bytes(idx(array))
    return arrays


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No data on this machine and no pooch to fetch it."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("CCONV_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)


# --- digits


def test_digits_have_the_promised_form():
    (x_train, y_train), (x_test, y_test) = digits()
    assert x_train.shape == (1437, 1, 28, 28) and x_test.shape == (360, 1, 28, 28)
    assert x_train.dtype == np.float32 and y_train.dtype == np.int64
    assert x_train.min() == 0 and x_train.max() == 1
    assert np.bincount(y_test).min() >= 35 and np.bincount(y_train).min() >= 138


def test_digits_are_scikit_learns():
    bunch = pytest.importorskip(
        "sklearn.datasets", reason="scikit-learn's copy of the digits is the oracle"
    ).load_digits()
    (x_train, y_train), (x_test, y_test) = digits(8, raw=True)
    ours = {(x.tobytes(), int(y)) for x, y in zip([*x_train, *x_test], [*y_train, *y_test], strict=True)}
    scaled = np.floor(bunch.images * 255 / 16 + 0.5).astype(np.uint8)
    theirs = {(x.tobytes(), int(y)) for x, y in zip(scaled, bunch.target, strict=True)}
    assert ours == theirs
    overlap = {x.tobytes() for x in x_train} & {x.tobytes() for x in x_test}
    assert not overlap


def test_digits_are_the_same_bytes_everywhere():
    (x_train, y_train), (x_test, y_test) = digits(raw=True)
    digest = hashlib.sha256(
        b"".join(a.tobytes() for a in (x_train, x_test, y_train.astype("<i8"), y_test.astype("<i8")))
    )
    assert digest.hexdigest() == "c8a96aa65f8411a8b32e06ef1eb224d0e700b2222ae1ba510990b95331f6583b"


def test_float_and_raw_digits_agree():
    raw, scaled = digits(raw=True)[1][0], digits()[1][0]
    assert raw.dtype == np.uint8
    np.testing.assert_array_equal(scaled, raw.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("size", [8, 9, 16, 28, 29, 32, 64, 224])
def test_digits_of_any_size(size):
    x = digits(size)[1][0]
    assert x.shape == (360, 1, size, size)
    assert 0.9 < x.max() <= 1


@pytest.mark.parametrize(
    "size, error", [(7, ValueError), (1025, ValueError), (-1, ValueError), ("28", TypeError), (28.0, TypeError)]
)
def test_digits_refuse_other_sizes(size, error):
    with pytest.raises(error, match="size"):
        digits(size)


# --- MNIST


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", [".", "mnist"])
def test_mnist_from_root(tmp_path, packed, place, nowhere):
    images, labels, *_ = write_mnist(tmp_path / place, packed)
    (x, y), (x_test, y_test) = mnist(tmp_path, raw=True)
    np.testing.assert_array_equal(x[:, 0], images)
    np.testing.assert_array_equal(y, labels)
    assert mnist(tmp_path)[0][0].dtype == np.float32 and y.dtype == np.int64


def test_mnist_from_the_environment_and_the_cache(tmp_path, monkeypatch, nowhere):
    write_mnist(tmp_path / "data" / "mnist", count=5)
    monkeypatch.setenv("CCONV_DATA", str(tmp_path / "data"))
    assert len(mnist()[0][0]) == 5
    monkeypatch.delenv("CCONV_DATA")
    from cconv.data.sources import cache_folder

    write_mnist(cache_folder() / "mnist", count=4)
    write_mnist(cache_folder() / "fashion_mnist", count=3)
    assert len(mnist()[0][0]) == 4
    assert len(fashion_mnist()[0][0]) == 3


def test_fashion_is_never_taken_from_mnists_files(tmp_path, monkeypatch, nowhere):
    write_mnist(tmp_path)
    monkeypatch.setenv("CCONV_DATA", str(tmp_path))
    assert len(mnist()[0][0]) == 6
    with pytest.raises(ImportError, match=r"pip install cconv\[data\]"):
        fashion_mnist()


def test_missing_files_are_named(tmp_path, nowhere):
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        mnist(tmp_path)
    with pytest.raises(ImportError, match=r"pip install cconv\[data\]"):
        mnist()


def test_download_tries_every_mirror_with_its_digest(tmp_path, monkeypatch, nowhere):
    asked = []

    class Pooch:
        @staticmethod
        def retrieve(url, known_hash, fname, path):
            asked.append((url, known_hash))
            raise OSError("no network here")

    monkeypatch.setitem(sys.modules, "pooch", Pooch)
    with pytest.raises(OSError, match="no mirror could deliver train-images"):
        mnist()
    assert len(asked) == 2 and all(url.startswith("https://") and len(digest) == 71 for url, digest in asked)


def test_files_that_do_not_belong_together(tmp_path, nowhere):
    write_mnist(tmp_path, packed=False)
    (tmp_path / PARTS[1]).write_bytes(idx(np.arange(3)))
    with pytest.raises(ValueError, match="6 images.*3 labels"):
        mnist(tmp_path)
    (tmp_path / PARTS[1]).write_bytes(idx(np.arange(6) + 10))
    with pytest.raises(ValueError, match="label 15"):
        mnist(tmp_path)


@pytest.mark.skipif("CCONV_DATA" not in os.environ, reason="CCONV_DATA names no folder with the real MNIST")
def test_the_real_mnist():
    (x, y), (x_test, y_test) = mnist(raw=True)
    assert x.shape == (60000, 1, 28, 28) and x_test.shape == (10000, 1, 28, 28)
    digests = [hashlib.sha256(idx(a)).hexdigest()[:16] for a in (x[:, 0], y, x_test[:, 0], y_test)]
    assert digests == ["ba891046e6505d7a", "65a50cbbf4e906d7", "0fa7898d509279e4", "ff7bcfd416de3373"]


# --- IDX files under attack

GOOD = idx(np.arange(24).reshape(2, 3, 4))
HOSTILE = {
    "empty": b"",
    "one byte": b"\0",
    "text": b"hello, this is not an IDX file",
    "wrong magic": b"\1" + GOOD[1:],
    "wrong type": GOOD[:2] + b"\x0d" + GOOD[3:],
    "wrong number of axes": GOOD[:3] + b"\1" + GOOD[4:],
    "255 axes": GOOD[:3] + b"\xff" + GOOD[4:],
    "truncated header": GOOD[:9],
    "truncated": GOOD[:-1],
    "trailing byte": GOOD + b"\0",
    "huge sizes": GOOD[:4] + b"\xff" * 12 + GOOD[16:],
    "product overflows 64 bits": GOOD[:4] + struct.pack(">3I", 1 << 31, 1 << 31, 4) + GOOD[16:],
    "2 GB claimed": GOOD[:4] + struct.pack(">3I", 1 << 15, 1 << 8, 1 << 8) + GOOD[16:],
    "zero beside huge": GOOD[:4] + struct.pack(">3I", 0, 0xFFFFFFFF, 0xFFFFFFFF) + GOOD[16:],
}
PACKED = {
    "gzip magic only": b"\x1f\x8b",
    "gzip cut": gzip.compress(GOOD)[:-9],
    "gzip without its check sum": gzip.compress(GOOD)[:-8] + bytes(8),
    "gzip with a damaged stream": gzip.compress(GOOD)[:12] + b"\xff" * 8 + gzip.compress(GOOD)[20:],
    "gzip bomb": gzip.compress(GOOD + bytes(50_000_000)),
    "text after the gzip": gzip.compress(GOOD) + b"text",
}


@pytest.mark.parametrize("name", [*HOSTILE, *PACKED])
@pytest.mark.parametrize("again", [False, True], ids=["plain", "compressed"])
def test_hostile_idx(tmp_path, name, again):
    content = {**HOSTILE, **PACKED}[name]
    path = tmp_path / "hostile-file"
    path.write_bytes(gzip.compress(content) if again else content)
    with pytest.raises(ValueError, match="hostile-file"):
        read_idx(path, 3)


def test_a_bomb_is_not_unpacked(tmp_path):
    import tracemalloc

    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(GOOD + bytes(50_000_000)))
    tracemalloc.start()
    with pytest.raises(ValueError):
        read_idx(path, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_every_truncation_and_bit_flip_of_an_idx(tmp_path):
    path = tmp_path / "file"
    for packed in (GOOD, gzip.compress(GOOD)):
        for cut in range(len(packed)):
            path.write_bytes(packed[:cut])
            with pytest.raises(ValueError, match="file"):
                read_idx(path, 3)
    for bit in range(8 * 16):
        flipped = bytearray(GOOD)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match="file"):
            read_idx(path, 3)


def test_idx_without_elements(tmp_path):
    path = tmp_path / "none"
    path.write_bytes(idx(np.zeros((0, 28, 28))))
    assert read_idx(path, 3).shape == (0, 28, 28)


# --- batches


def test_loader_gives_every_sample_once_and_another_order_every_epoch():
    x = np.arange(50, dtype=np.float32)[:, None]
    loader = DataLoader(x, np.arange(50), 8, rng=1)
    assert len(loader) == 7
    epochs = [[(b.copy(), t.copy()) for b, t in loader] for _ in range(2)]
    orders = [np.concatenate([t for _, t in epoch]) for epoch in epochs]
    for epoch, order in zip(epochs, orders, strict=True):
        assert sorted(order) == list(range(50))
        assert [len(t) for _, t in epoch] == [8] * 6 + [2]
        np.testing.assert_array_equal(np.concatenate([b for b, _ in epoch])[:, 0], order)
    assert list(orders[0]) != list(orders[1])


def test_loader_order_is_pinned():
    """Orders must not change with versions of NumPy: checkpoints continue in them."""
    assert DataLoader(np.zeros(10), rng=0).order(0).tolist() == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]


@pytest.mark.parametrize("reuse", [False, True])
def test_loader_continues_where_it_stood(reuse):
    x = np.arange(40, dtype=np.float32).reshape(20, 2, 1, 1)
    options = {"batch_size": 3, "rng": 5, "augment": lambda b, bits: b + bits.random_raw() % 7, "reuse": reuse}
    whole = [b.copy() for _ in range(2) for b, _ in [*((c.copy(), t) for c, t in DataLoader(x, None, **options))]]
    straight = DataLoader(x, None, **options)
    expected = [b.copy() for _ in range(2) for b, _ in straight]
    assert len(whole) == len(expected)
    loader, seen = DataLoader(x, None, **options), []
    for b, _ in loader:
        seen.append(b.copy())
        if len(seen) == 4:
            break
    other = DataLoader(x, None, **{**options, "rng": 99})
    other.load_state_dict(loader.state_dict())
    seen += [b.copy() for _ in range(2) for b, _ in other]
    for a, b in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_loader_without_reuse_keeps_its_batches():
    batches = list(DataLoader(np.arange(6.0), None, 2, rng=0))
    assert sorted(np.concatenate([b for b, _ in batches])) == list(range(6))


def test_loader_without_shuffling():
    assert [b.tolist() for b, _ in DataLoader(np.arange(5), None, 2, shuffle=False)] == [[0, 1], [2, 3], [4]]


def test_loader_refuses():
    with pytest.raises(ValueError, match="same length"):
        DataLoader(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="batch_size"):
        DataLoader(np.zeros(3), batch_size=0)
    with pytest.raises(TypeError, match="rng"):
        DataLoader(np.zeros(3), rng="0")
    loader = DataLoader(np.zeros(3), rng=0)
    with pytest.raises(ValueError, match="position"):
        loader.load_state_dict({"seed": 0, "epoch": 0, "position": 4})
    assert loader.state_dict() == {"seed": 0, "epoch": 0, "position": 0}


def test_loader_of_nothing():
    assert list(DataLoader(np.zeros((0, 3)), rng=0)) == []


def test_random_shift_moves_whole_images():
    x = np.zeros((64, 2, 7, 7), np.float32)
    x[:, :, 3, 3] = 1
    y = RandomShift(2)(x, np.random.PCG64(0))
    assert y.shape == x.shape and y.dtype == x.dtype and x[:, :, 3, 3].all()
    assert (y.sum(axis=(2, 3)) == 1).all() and (y[:, 0] == y[:, 1]).all()
    places = {tuple(np.argwhere(image[0])[0]) for image in y}
    assert len(places) > 15 and all(1 <= r <= 5 and 1 <= c <= 5 for r, c in places)
    np.testing.assert_array_equal(RandomShift(0)(x, np.random.PCG64(0)), x)
    with pytest.raises(ValueError, match="pixels"):
        RandomShift(-1)
    with pytest.raises(ValueError, match="N, C, H, W"):
        RandomShift(1)(np.zeros((3, 4)), np.random.PCG64(0))
