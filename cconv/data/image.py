"""Images from files, and their way to the size and form that a digit classifier was trained on."""

import math
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

_LARGEST = 64_000_000


def read_image(path):
    """Read an image as grey.

    PGM (P2, P5), `.npy` and `.npz` (its only or first array) are read here, everything else by Pillow.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    ndarray (H, W), float32 of 0 to 1

    Raises
    ------
    ValueError
        Naming the file, when it is not an image, damaged, or of more than 64 million pixels.
    ImportError
        When the format needs Pillow and it is not installed.
    OSError
        When the file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(6)
    if path.suffix.lower() in (".npy", ".npz"):
        return _grey(_load_array(path), path)
    if head[:2] in (b"P2", b"P5"):
        return _read_pgm(path)
    return _read_with_pillow(path)


def read_colours(path):
    """Read an image as red, green and blue; grey ones have the same three times.

    Parameters
    ----------
    path : path-like
        What Pillow reads; `.npy` and `.npz` with (3, H, W) or (H, W, 3), and every file of `read_image` as grey.

    Returns
    -------
    ndarray (3, H, W), float32 of 0 to 1

    Raises
    ------
    ValueError, ImportError, OSError
        As `read_image`.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(6)
    if path.suffix.lower() in (".npy", ".npz"):
        array = _load_array(path)
        while array.ndim > 3 and len(array) == 1:
            array = array[0]
        if array.ndim == 3 and 3 in (array.shape[0], array.shape[-1]):
            array = array if array.shape[0] == 3 else np.moveaxis(array, -1, 0)
            return _checked(array, path)
        return np.stack([_grey(array, path)] * 3)
    if head[:2] in (b"P2", b"P5"):
        return np.stack([_read_pgm(path)] * 3)
    return _read_with_pillow(path, "RGB")


def cover(image, size):
    """Scale (C, H, W) until it covers `size`, and cut out the middle."""
    factor = max(n / m for n, m in zip(size, image.shape[1:], strict=True))
    scaled = [max(n, round(m * factor)) for n, m in zip(size, image.shape[1:], strict=True)]
    image = image if scaled == list(image.shape[1:]) else np.stack([resize(channel, scaled) for channel in image])
    top, left = ((n - m) // 2 for n, m in zip(scaled, size, strict=True))
    return image[:, top : top + size[0], left : left + size[1]]


def prepare(image, size, invert=None, frame=5 / 7):
    """Bring a grey image to `size`, light ink on black.

    An image that has `size` already is only inverted, if at all. Of others the ink is cut out, scaled to
    fit a frame inside `size`, and centred on its centre of mass.

    Parameters
    ----------
    image : ndarray (H, W) of 0 to 1
    size : (height, width)
    invert : bool or None
        None inverts when the border is light.
    frame : float or None
        Share of `size` that the ink fills: 5/7 in MNIST, 6/7 in `digits`. None scales the whole image instead.

    Returns
    -------
    ndarray of `size`, float32 of 0 to 1
    """
    if invert is None:
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        invert = bool(np.median(border) > 0.5)
    if invert:
        image = 1 - image
    if image.shape == tuple(size):
        return np.ascontiguousarray(image, np.float32)
    if frame is None:
        return resize(image, size)
    ink = np.where(image > 0.25 * image.max(), image, 0) if image.max() > 0 else image
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return np.zeros(size, np.float32)
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = min(n * frame / m for n, m in zip(size, ink.shape, strict=True))
    ink = resize(ink, [max(1, round(n * factor)) for n in ink.shape])
    out = np.zeros(size, np.float32)
    place = [_start(ink.sum(axis=1 - axis), size[axis]) for axis in (0, 1)]
    out[place[0] : place[0] + ink.shape[0], place[1] : place[1] + ink.shape[1]] = ink / max(ink.max(), 1e-6)
    return out


def resize(image, size):
    """Scale (H, W) to `size`: linear interpolation, widened to an average where the image shrinks."""
    height, width = (resize_matrix(n, m) for n, m in zip(image.shape, size, strict=True))
    return (height @ image @ width.T).astype(np.float32)


def resize_matrix(before, after):
    """Matrix (after, before) whose rows are triangles around the source of each new pixel, of sum 1."""
    scale = before / after
    reach = max(scale, 1.0)
    centres = (np.arange(after) + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(before) + 0.5 - centres[:, None]) / reach)
    return weights / weights.sum(axis=1, keepdims=True)


def _start(mass, room):
    """Where to begin so that the centre of `mass` meets the middle of `room`, inside it."""
    centre = (mass * (np.arange(len(mass)) + 0.5)).sum() / mass.sum()
    return int(np.clip(round(room / 2 - centre), 0, room - len(mass)))


def _grey(array, path):
    array = np.asarray(array)
    while array.ndim > 3 and len(array) == 1:
        array = array[0]
    if array.ndim == 3:
        # Channels are the short axis, first or last.
        axis = 0 if array.shape[0] <= 4 and array.shape[0] <= array.shape[-1] else -1
        if array.shape[axis] not in (1, 2, 3, 4):
            raise ValueError(f"{path}: expected one image, got an array of shape {array.shape}")
        array = np.moveaxis(array, axis, 0)
        colours = array[:3] if len(array) >= 3 else array[:1]
        array = colours.astype(np.float64).mean(axis=0) if array.dtype.kind == "f" else _unit(colours).mean(axis=0)
    if array.ndim != 2:
        raise ValueError(f"{path}: expected an image (H, W), got an array of shape {array.shape}")
    return _checked(array, path)


def _checked(array, path):
    """Pixels (..., H, W) of any type as float32 of 0 to 1; floats above 1 count to 255."""
    if array.size == 0 or array.size > _LARGEST:
        raise ValueError(f"{path}: expected 1 to {_LARGEST} pixels, got an array of shape {array.shape}")
    if array.dtype.kind != "f":
        array = _unit(array)
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: the image has NaN or infinite values")
    top = 255.0 if array.max() > 1 else 1.0
    return np.clip(array / top, 0, 1).astype(np.float32)


def _unit(array):
    if array.dtype.kind == "b":
        return array.astype(np.float64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"an image cannot have the element type {array.dtype}")
    return array / (65535.0 if array.dtype.itemsize > 1 and array.max() > 255 else 255.0)


def _load_array(path):
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".npy":
                return _read_npy(file, os.fstat(file.fileno()).st_size)
            with zipfile.ZipFile(file) as archive:
                member = next((m for m in archive.infolist() if m.filename.endswith(".npy")), None)
                if member is None:
                    raise ValueError("no array in it")
                with archive.open(member) as stream:
                    return _read_npy(stream, member.file_size)
    except (
        ValueError,
        EOFError,
        SyntaxError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise ValueError(f"{path}: not a readable array: {error}") from None


def _read_npy(stream, size):
    """The array in `stream` of `size` bytes; what it claims to hold is compared with that first."""
    form = np.lib.format
    version = form.read_magic(stream)
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the npy format")
    shape, fortran, dtype = readers[version](stream)
    if dtype.kind not in "biuf":
        raise ValueError(f"elements of type {dtype}")
    count = math.prod(shape)
    if not all(n >= 0 for n in shape) or count > 4 * _LARGEST or count * dtype.itemsize > size:
        raise ValueError(f"shape {shape} in a file of {size} bytes")
    content = stream.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise ValueError("truncated")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _read_pgm(path):
    """Portable greymap: magic, width, height, largest value, pixels as text (P2) or bytes (P5)."""
    size = os.stat(path).st_size
    if size > 4 * _LARGEST:
        raise ValueError(f"{path}: file of {size} bytes is too large")
    content = path.read_bytes()
    fields, position = [], 2
    while len(fields) < 3:
        while position < len(content) and (content[position : position + 1].isspace() or content[position] == ord("#")):
            if content[position] == ord("#"):
                position = content.find(b"\n", position) % (len(content) + 1)
            position += 1
        start = position
        while position < len(content) and content[position : position + 1].isdigit():
            position += 1
        if not 0 < position - start <= 9:
            raise ValueError(f"{path}: damaged PGM header")
        fields.append(int(content[start:position]))
    width, height, top = fields
    if not (0 < width * height <= _LARGEST and 0 < top < 65536):
        raise ValueError(f"{path}: PGM of {width} x {height} pixels up to {top}")
    if content[:2] == b"P2":
        words = content[position:].split()
        if len(words) < width * height or not all(word.isdigit() and len(word) < 6 for word in words):
            raise ValueError(f"{path}: damaged PGM pixels")
        pixels = np.array([int(word) for word in words[: width * height]])
    else:
        dtype = np.dtype(">u2" if top > 255 else "u1")
        if len(content) - position - 1 < width * height * dtype.itemsize:
            raise ValueError(f"{path}: truncated PGM: {width} x {height} pixels")
        pixels = np.frombuffer(content, dtype, width * height, position + 1)
    return np.clip(pixels.reshape(height, width) / top, 0, 1).astype(np.float32)


def _read_with_pillow(path, mode="L"):
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ImportError(f"{path}: this format needs Pillow: pip install cconv[data] (PGM and .npy do not)") from None
    try:
        with Image.open(path) as image:
            if image.width * image.height > _LARGEST:
                raise ValueError(f"{path}: {image.width} x {image.height} pixels are more than {_LARGEST}")
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                # Transparent places are paper.
                image = image.convert("RGBA")
                paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
                image = Image.alpha_composite(paper, image)
            if image.mode.startswith("I"):
                grey = _grey(np.asarray(image), path)
                return grey if mode == "L" else np.stack([grey] * 3)
            pixels = np.asarray(image.convert(mode), np.float32) / np.float32(255)
            return pixels if mode == "L" else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not an image that can be read") from None
    except (Image.DecompressionBombError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path}: damaged image: {error}") from None
