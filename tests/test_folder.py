"""Images in folders: found, decoded in the background, refused when damaged; training reads them as arrays."""

import sys

import numpy as np
import pytest

import cconv
from cconv import nn
from cconv.data import DataLoader, ImageFolder, Resized

image_module = pytest.importorskip("PIL.Image", reason="pictures are read and written by Pillow")


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for name, colour in (("apple", (200, 30, 30)), ("leaf", (30, 200, 30)), ("sky", (30, 30, 200))):
        (tmp_path / "set" / name).mkdir(parents=True)
        for k in range(7):
            pixels = np.clip(np.array(colour) + rng.integers(-20, 20, (20 + k, 30, 3)), 0, 255).astype(np.uint8)
            image_module.fromarray(pixels).save(tmp_path / "set" / name / f"{k}.{'png' if k % 2 else 'jpg'}")
    (tmp_path / "set" / "apple" / "notes.txt").write_text("not an image")
    return tmp_path / "set"


def test_classes_labels_and_images(root):
    folder = ImageFolder(root, (8, 12))
    assert folder.classes == ["apple", "leaf", "sky"] and folder.shape == (21, 3, 8, 12) and len(folder) == 21
    x, y = folder.load()
    assert x.dtype == np.uint8 and y.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert (x.mean(axis=(2, 3)).argmax(axis=1) == y).all()
    np.testing.assert_array_equal(folder[3], x[3])
    np.testing.assert_array_equal(folder[[2, -1]], x[[2, -1]])
    np.testing.assert_array_equal(folder[np.arange(len(folder)) % 2 == 0], x[::2])
    np.testing.assert_array_equal(folder[5:9], x[5:9])
    np.testing.assert_array_equal(folder.take([20, 0]), x[[20, 0]])
    assert ImageFolder(root, 8, channels=1).load()[0].shape == (21, 1, 8, 8)


def test_batches_are_those_of_the_array(root):
    folder = ImageFolder(root, 8)
    x, y = folder.load()
    for ours, expected in zip(DataLoader(folder, y, 4, rng=5, reuse=True), DataLoader(x, y, 4, rng=5), strict=True):
        np.testing.assert_array_equal(ours[0], expected[0])
        np.testing.assert_array_equal(ours[1], expected[1])
    loader = iter(DataLoader(folder, y, 4))
    next(loader)
    loader.close()


def test_training_reads_a_folder(root):
    folder = ImageFolder(root, 8)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3, rng=0))
    model = cconv.Model(net, optimizer=cconv.optim.SGD(0.1))
    model.fit(folder, folder.labels, 7, 8, validation_data=(folder, folder.labels), verbose=0)
    assert model.evaluate(folder, folder.labels)["accuracy"] == 1
    assert model.predict(folder).shape == (21, 3)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", "truncated"])
def test_damaged_images_are_named(root, content):
    path = root / "leaf" / "3.png"
    path.write_bytes(path.read_bytes()[:200] if content == "truncated" else content)
    with pytest.raises(ValueError, match=r"3\.png"):
        ImageFolder(root, 8).load()


def test_wrong_arguments_are_named(root, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="CLASS"):
        ImageFolder(root / "apple")
    with pytest.raises(ValueError, match="channels"):
        ImageFolder(root, channels=2)
    with pytest.raises(ValueError, match="size"):
        ImageFolder(root, 0)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"cconv\[data\]"):
        ImageFolder(root)


def test_resized_images_on_demand():
    x = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8)).astype(np.uint8)
    larger = Resized(x, (16, 16), 3)
    assert larger.shape == (5, 3, 16, 16) and larger[1:3].shape == (2, 3, 16, 16)
    np.testing.assert_allclose(larger[0].mean(), x[0].mean() / 255, atol=0.02)
    np.testing.assert_array_equal(Resized(x, (8, 8), 3)[2], np.repeat(x[2], 3, 0))
    assert Resized(np.repeat(x, 3, 1), (8, 8), 1)[:].dtype == np.uint8
    with pytest.raises(ValueError, match="channels"):
        Resized(np.repeat(x, 3, 1), (8, 8), 4)
