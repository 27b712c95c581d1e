"""Images from files, good and hostile, and their way to a network's input."""

import zipfile

import numpy as np
import pytest

from cconv.data import digits
from cconv.data.image import prepare, read_image, resize


@pytest.fixture
def picture():
    return digits(raw=True)[1][0][0, 0]


def test_images_of_every_format_agree(tmp_path, picture):
    np.save(tmp_path / "a.npy", picture)
    np.savez(tmp_path / "a.npz", picture)
    height, width = picture.shape
    (tmp_path / "a.pgm").write_bytes(b"P5\n# a comment\n%d %d\n255\n" % (width, height) + picture.tobytes())
    text = "\n".join(" ".join(map(str, row)) for row in picture)
    (tmp_path / "t.pgm").write_text(f"P2 {width} {height} 255\n{text}\n")
    names = ["a.npy", "a.npz", "a.pgm", "t.pgm"]
    try:
        from PIL import Image
    except ImportError:
        pass
    else:
        Image.fromarray(picture).save(tmp_path / "a.png")
        Image.fromarray(np.stack([picture] * 3, axis=2)).save(tmp_path / "rgb.png")
        names += ["a.png", "rgb.png"]
    for name in names:
        image = read_image(tmp_path / name)
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, picture / 255, atol=1e-6, err_msg=name)


BAD_IMAGES = {
    "a.pgm": b"P5 10 10 255\n" + bytes(99),
    "b.pgm": b"P5 99999 99999 255\n" + bytes(99),
    "c.pgm": b"P5 -3 10 255\n",
    "d.pgm": b"P5 # no end",
    "e.pgm": b"P2 2 2 255\n1 2 3",
    "f.pgm": b"P2 2 2 255\n1 2 3 x",
    "g.pgm": b"P5 2 2 0\n1234",
    "h.pgm": b"P5 99999999999999999999 2 255\n1234",
    "a.npy": b"not an array",
    "b.npy": b"",
    "c.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 9), }"
    + b" " * 40
    + b"\n",
    "a.npz": b"PK\3\4 not a zip",
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images(tmp_path, name):
    (tmp_path / name).write_bytes(BAD_IMAGES[name])
    with pytest.raises(ValueError, match=name):
        read_image(tmp_path / name)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3),
        np.zeros((0, 5)),
        np.zeros((5, 5, 7)),
        np.full((3, 3), np.nan),
        np.array([["a"]]),
        np.zeros((2, 2), complex),
    ],
    ids=["1-d", "empty", "seven channels", "nan", "text", "complex"],
)
def test_arrays_that_are_no_images(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError):
        read_image(tmp_path / "x.npy")


def test_no_pickles_in_arrays(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="x.npy"):
        read_image(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    with pytest.raises(ValueError, match="empty.npz"):
        read_image(tmp_path / "empty.npz")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(50), b"GIF89a" + bytes(9), b"no picture at all"])
def test_damaged_pictures(tmp_path, content):
    pytest.importorskip("PIL", reason="PNG is read by Pillow")
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match="x.png"):
        read_image(tmp_path / "x.png")


def test_missing_image(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "no.png")


def test_prepare_inverts_dark_ink_and_leaves_fitting_images_alone(picture):
    image = picture.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(prepare(image, (28, 28)), image)
    np.testing.assert_allclose(prepare(1 - image, (28, 28)), image, atol=1e-6)
    np.testing.assert_array_equal(prepare(image, (28, 28), invert=False), image)


def test_prepare_centres_ink():
    image = np.ones((90, 200))
    image[20:60, 30:40] = 0
    x = prepare(image, (28, 28))
    assert x.shape == (28, 28) and x.dtype == np.float32 and x.max() == 1
    rows, columns = np.nonzero(x > 0.5)
    assert rows.max() - rows.min() == 19 and abs((rows.max() + rows.min()) / 2 - 13.5) <= 1
    assert abs((columns.max() + columns.min()) / 2 - 13.5) <= 1
    assert not prepare(np.zeros((50, 40)), (28, 28)).any()
    assert np.ptp(np.nonzero(prepare(image, (28, 28), frame=6 / 7) > 0.5)[0]) == 23
    assert prepare(image, (28, 28), frame=None).shape == (28, 28)


def test_resize_keeps_constants_and_the_mean():
    np.testing.assert_allclose(resize(np.full((7, 30), 0.25), (28, 9)), 0.25, atol=1e-6)
    x = np.random.default_rng(0).random((56, 56))
    assert abs(resize(x, (28, 28)).mean() - x.mean()) < 0.01
