"""Random changes of batches: what they keep, what they change, and that the seed decides."""

import numpy as np
import pytest

from cconv.data import (
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    DataLoader,
    Mixup,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomShift,
    Resize,
    train_test_split,
)


def bits(seed=0):
    return np.random.PCG64(seed)


def images(count=64, channels=3, side=12, dtype=np.uint8):
    x = np.random.default_rng(1).integers(1, 256, (count, channels, side, side))
    return x.astype(np.uint8) if dtype == np.uint8 else (x / 255).astype(dtype)


EVERY = [
    RandomCrop(12, 3), RandomCrop((8, 6)), RandomShift(2), RandomHorizontalFlip(), Cutout(5), ColorJitter(0.4, 0.4, 0.4),
    Resize((6, 20)), Normalize((0.5, 0.4, 0.3), 0.25), Compose([RandomCrop(12, 2), RandomHorizontalFlip()]),
]  # fmt: skip
MIXING = [Mixup(10), Mixup(10, 0.2), CutMix(10), Compose([RandomHorizontalFlip(), Mixup(10), CutMix(10)])]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("transform", EVERY, ids=repr)
def test_same_seed_same_pictures(transform, dtype):
    x = images(dtype=dtype)
    before = x.copy()
    first, again, other = transform(x, bits()), transform(x, bits()), transform(x, bits(1))
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(first, again)
    assert len(first) == len(x) and first.shape[1] == 3
    if not isinstance(transform, (Resize, Normalize)):
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("transform", MIXING, ids=repr)
def test_labels_are_mixed_with_their_images(transform):
    """Images of one value, so that a pixel tells whose it is: the share of pixels is the share of labels."""
    y = np.arange(10).repeat(4)
    x = np.broadcast_to(y[:, None, None, None] / 9, (40, 1, 20, 20)).astype(np.float32)
    mixed, soft = transform(x, y, bits(3))
    assert mixed.shape == x.shape and soft.shape == (40, 10) and soft.dtype == np.float32
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), soft @ (np.arange(10) / 9), atol=1e-5)


def test_crop_takes_windows_of_the_padded_image():
    x = images(200, side=6)
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    places = set()
    for source, window in zip(padded, RandomCrop(6, 2)(x, bits()), strict=True):
        found = [(i, j) for i in range(5) for j in range(5) if np.array_equal(source[:, i : i + 6, j : j + 6], window)]
        assert len(found) == 1
        places.update(found)
    assert len(places) == 25


def test_flip_mirrors_about_half():
    x = images(400)
    y = RandomHorizontalFlip()(x, bits())
    mirrored = np.array([np.array_equal(b, a[:, :, ::-1]) for a, b in zip(x, y, strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(x, y, strict=True)])
    assert (mirrored ^ kept).all() and 150 < mirrored.sum() < 250
    np.testing.assert_array_equal(RandomHorizontalFlip(1.0)(x, bits()), x[..., ::-1])
    np.testing.assert_array_equal(RandomHorizontalFlip(0.0)(x, bits()), x)


def test_cutout_blackens_one_square():
    x = images(300)
    hole = (Cutout(5)(x, bits()) == 0).all(axis=1)
    rows, columns = hole.any(axis=2).sum(axis=1), hole.any(axis=1).sum(axis=1)
    assert (hole.sum(axis=(1, 2)) == rows * columns).all()
    assert rows.max() == columns.max() == 5 and rows.min() >= 3


def test_normalize_and_resize():
    x = images(dtype=np.float32)
    y = Normalize(x.mean(axis=(0, 2, 3)), x.std(axis=(0, 2, 3)))(x)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(Normalize(x.mean(axis=0))(x).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(Resize(12)(x), x, atol=1e-6)
    np.testing.assert_allclose(Resize(6)(np.ones((1, 3, 12, 12), np.float32)), 1, atol=1e-6)


def test_jitter_without_spread_changes_nothing():
    x = images(dtype=np.float32)
    np.testing.assert_allclose(ColorJitter()(x, bits()), x, atol=1e-6)


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: RandomCrop(0), "size"), (lambda: RandomCrop(4, -1), "padding"), (lambda: RandomHorizontalFlip(2), "p "),
        (lambda: Cutout(0), "size"), (lambda: ColorJitter(contrast=-1), "contrast"), (lambda: Mixup(10, 0), "alpha"),
        (lambda: Normalize(0, 0), "std"), (lambda: Normalize(np.nan), "mean"), (lambda: Compose([1]), "callable"),
        (lambda: RandomCrop(40)(images(), bits()), "RandomCrop"), (lambda: Cutout(3)(np.zeros((2, 3)), bits()), "Cutout"),
        (lambda: Mixup(3)(images(2), np.array([0, 3]), bits()), "labels"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(make, word):
    with pytest.raises((ValueError, TypeError), match=word):
        make()


def test_loader_gives_mixed_labels_and_resumes():
    x, y = images(50), np.arange(50) % 10
    loader = DataLoader(x, y, 16, rng=4, augment=Compose([RandomCrop(12, 2), Mixup(10)]))
    whole = list(loader)
    assert whole[0][1].shape == (16, 10)
    again = DataLoader(x, y, 16, rng=4, augment=Compose([RandomCrop(12, 2), Mixup(10)]))
    again.load_state_dict({"seed": loader.seed, "epoch": 0, "position": 32})
    for (x_batch, y_batch), (x_wanted, y_wanted) in zip(again, whole[2:], strict=True):
        np.testing.assert_array_equal(x_batch, x_wanted)
        np.testing.assert_array_equal(y_batch, y_wanted)


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize("size", [0.2, 30])
def test_split_keeps_every_sample_once(size, stratify):
    y = np.repeat(np.arange(5), [60, 30, 30, 20, 10])
    x = np.arange(150)
    (x_train, y_train), (x_test, y_test) = train_test_split(x, y, size, stratify, rng=2)
    assert len(x_test) == 30
    assert sorted([*x_train, *x_test]) == list(range(150))
    np.testing.assert_array_equal(y[x_train], y_train)
    if stratify:
        np.testing.assert_array_equal(np.bincount(y_test), [12, 6, 6, 4, 2])
    with pytest.raises(ValueError, match="empty"):
        train_test_split(x, y, 0)
