"""Images in folders, one folder a class, decoded when a batch needs them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cconv.data.source import Source
from cconv.functional._arguments import spatial, whole

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
_LARGEST = 64_000_000


class ImageFolder(Source):
    """The images below `root/CLASS/`, brought to one size; `model.fit(folder, folder.labels)` trains on them.

    Images are opened when a batch asks for them, several at a time in background threads, the next batch while the
    present one trains. `folder.load()` decodes all of them into memory.

    Parameters
    ----------
    root : path-like
        Its subfolders are the classes, in alphabetical order.
    size : int or (height, width)
        The image is scaled until it covers the size, then its middle is cut out.
    channels : 1 or 3
        Grey, or red, green and blue.
    threads : int
        That decode.

    Attributes
    ----------
    shape : (N, channels, height, width)
    dtype : uint8
    classes : list of str
    labels : ndarray (N,) int64
    paths : list of Path

    Raises
    ------
    ImportError
        When Pillow is not installed (`pip install cconv[data]`).
    FileNotFoundError
        When `root` is not a folder, or holds no images in subfolders.
    """

    prefetch = True

    def __init__(self, root, size=224, channels=3, threads=4):
        try:
            import PIL.Image  # noqa: F401
        except ImportError:
            raise ImportError("ImageFolder needs Pillow: pip install cconv[data]") from None
        root = Path(root)
        height, width = spatial(size, 2, "size")
        if whole(channels, "channels") not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {channels}")
        if not root.is_dir():
            raise FileNotFoundError(f"{root} is not a folder")
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        found = [sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES) for folder in folders]
        if not any(found):
            raise FileNotFoundError(f"{root} has no images in subfolders: expected {root}/CLASS/IMAGE.jpg")
        self.classes = [folder.name for folder in folders]
        self.paths = [path for paths in found for path in paths]
        self.labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found])
        self.shape = (len(self.paths), int(channels), height, width)
        self.dtype = np.dtype(np.uint8)
        self.threads = whole(threads, "threads", 1)
        self._pool = None
        self._lock = threading.Lock()

    def take(self, indices, axis=0, out=None, mode="raise"):
        """The images `indices`, uint8 (len(indices), C, H, W).

        Raises
        ------
        ValueError
            Naming the first file that is damaged, not an image, or of more than 64 million pixels.
        """
        out = np.empty((len(indices), *self.shape[1:]), np.uint8) if out is None else out
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="cconv-decode")
        list(self._pool.map(self._decode, [self.paths[i] for i in indices], out))
        return out

    def _decode(self, path, out):
        from PIL import Image, ImageOps, UnidentifiedImageError

        channels, height, width = self.shape[1:]
        try:
            with Image.open(path) as image:
                if image.width * image.height > _LARGEST:
                    raise ValueError(f"{path}: {image.width} x {image.height} pixels are more than {_LARGEST}")
                # JPEG decodes at half or quarter size for less; never below twice what is needed.
                image.draft("RGB" if channels == 3 else "L", (2 * width, 2 * height))
                image = ImageOps.exif_transpose(image).convert("RGB" if channels == 3 else "L")
                if image.size != (width, height):
                    image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
                out[...] = np.moveaxis(np.asarray(image).reshape(height, width, channels), -1, 0)
        except UnidentifiedImageError:
            raise ValueError(f"{path}: not an image that can be read") from None
        except (Image.DecompressionBombError, SyntaxError, EOFError) as error:
            raise ValueError(f"{path}: {error}") from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise ValueError(f"{path}: damaged image: {error}") from None

    def load(self):
        """(x, y): all images, uint8 (N, C, H, W), and the labels."""
        return self[:], self.labels

    def __repr__(self):
        return f"ImageFolder({self.shape[0]} images of {len(self.classes)} classes, {self.shape[1:]})"
