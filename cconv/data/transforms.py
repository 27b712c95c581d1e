"""Random changes of a training batch, whole batches at a time.

A transform is called as `transform(x, bits)` and returns the changed batch; one whose attribute `mixes_labels` is
true as `transform(x, y, bits)`, and returns both. `bits` is a numpy.random.PCG64 that the seed, the epoch and the
position in it decide, so the same seed gives the same pictures, also after a resume. Images are (N, C, H, W), uint8 of
0 to 255 or floats; the array given is never modified.
"""

import numpy as np

from cconv.functional._arguments import spatial, whole

_FULL = np.float32(255)


def uniform(bits, *shape):
    """Numbers in [0, 1), float64. Raw bits are the same in every NumPy version, those of a Generator need not be."""
    return (bits.random_raw(shape) >> np.uint64(11)) * 2.0**-53


def below(bits, limit, *shape):
    """Whole numbers in [0, limit), intp; the bias of the remainder is below limit * 2**-64."""
    return (bits.random_raw(shape) % np.uint64(limit)).astype(np.intp)


def _images(x, name):
    if getattr(x, "ndim", None) != 4:
        raise ValueError(f"{name} changes images (N, C, H, W), got shape {np.shape(x)}")
    return x


def _floats(x):
    """uint8 as float32 of 0 to 1, other arrays as they are."""
    return x / _FULL if x.dtype == np.uint8 else x


def _probability(value, name):
    value = float(value)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value}")
    return value


class Transform:
    """Base: what `repr` shows, and whether labels are changed as well."""

    mixes_labels = False

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in vars(self).items())})"


class Compose(Transform):
    """One transform after the other.

    Parameters
    ----------
    transforms : sequence of callables
    """

    def __init__(self, transforms):
        self.transforms = list(transforms)
        for transform in self.transforms:
            if not callable(transform):
                raise TypeError(f"transforms must be callable, got {type(transform).__name__}")

    @property
    def mixes_labels(self):
        return any(getattr(transform, "mixes_labels", False) for transform in self.transforms)

    def __call__(self, x, *y_and_bits):
        *y, bits = y_and_bits
        for transform in self.transforms:
            if getattr(transform, "mixes_labels", False):
                x, *y = transform(x, *y, bits)
            else:
                x = transform(x, bits)
        return (x, *y) if y else x


class RandomCrop(Transform):
    """Cuts a window of `size` at a random place out of each image, after adding a border of black.

    Parameters
    ----------
    size : int or (height, width)
    padding : int, pixels of border on every side

    Raises
    ------
    ValueError
        On use, when an image with its border is smaller than `size`.
    """

    def __init__(self, size, padding=0):
        self.size = spatial(size, 2, "size")
        self.padding = whole(padding, "padding", 0)

    def __call__(self, x, bits):
        count, channels, height, width = _images(x, "RandomCrop").shape
        edge, size = self.padding, self.size
        room = height + 2 * edge - size[0] + 1, width + 2 * edge - size[1] + 1
        if min(room) < 1:
            raise ValueError(f"RandomCrop: images of {height}x{width} with {edge} around have no window of {size}")
        padded = np.zeros((count, channels, height + 2 * edge, width + 2 * edge), x.dtype)
        padded[:, :, edge : edge + height, edge : edge + width] = x
        windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(2, 3))
        return windows[np.arange(count), :, below(bits, room[0], count), below(bits, room[1], count)]


class RandomShift(Transform):
    """Moves every image by whole pixels, each way by at most `pixels`, with black coming in.

    Parameters
    ----------
    pixels : int, 0 or more
    """

    def __init__(self, pixels):
        self.pixels = whole(pixels, "pixels", 0)

    def __call__(self, x, bits):
        return RandomCrop(_images(x, "RandomShift").shape[2:], self.pixels)(x, bits)


class RandomHorizontalFlip(Transform):
    """Mirrors each image left to right with probability `p`."""

    def __init__(self, p=0.5):
        self.p = _probability(p, "p")

    def __call__(self, x, bits):
        chosen = uniform(bits, len(_images(x, "RandomHorizontalFlip"))) < self.p
        y = x.copy()
        y[chosen] = x[chosen, :, :, ::-1]
        return y


class Cutout(Transform):
    """Blackens a square of each image around a random pixel; parts outside the image are lost.

    T. DeVries, G. Taylor. Improved regularization of convolutional neural networks with cutout. 2017.

    Parameters
    ----------
    size : int, side of the square in pixels
    """

    def __init__(self, size):
        self.size = whole(size, "size", 1)

    def __call__(self, x, bits):
        count, _, height, width = _images(x, "Cutout").shape
        hole = self._band(height, below(bits, height, count))[:, :, None]
        hole = hole & self._band(width, below(bits, width, count))[:, None, :]
        return np.where(hole[:, None], x.dtype.type(0), x)

    def _band(self, length, centres):
        start = centres[:, None] - self.size // 2
        places = np.arange(length)
        return (places >= start) & (places < start + self.size)


class ColorJitter(Transform):
    """Changes brightness, contrast and saturation of each image by random factors of 1 - x to 1 + x, in this order.

    Floats come out, of 0 to 1.

    Parameters
    ----------
    brightness, contrast, saturation : float, 0 to 1
    """

    def __init__(self, brightness=0.0, contrast=0.0, saturation=0.0):
        self.brightness = _probability(brightness, "brightness")
        self.contrast = _probability(contrast, "contrast")
        self.saturation = _probability(saturation, "saturation")

    def __call__(self, x, bits):
        y = _floats(_images(x, "ColorJitter"))
        y = y * self._factors(bits, len(x), self.brightness, y.dtype)
        mean = y.mean(axis=(1, 2, 3), keepdims=True)
        y = mean + (y - mean) * self._factors(bits, len(x), self.contrast, y.dtype)
        grey = y.mean(axis=1, keepdims=True)
        y = grey + (y - grey) * self._factors(bits, len(x), self.saturation, y.dtype)
        return np.clip(y, 0, 1, out=y)

    @staticmethod
    def _factors(bits, count, spread, dtype):
        return (1 + spread * (2 * uniform(bits, count, 1, 1, 1) - 1)).astype(dtype)


class Resize(Transform):
    """Scales every image: linear interpolation, widened to an average where the image shrinks. Floats come out.

    Parameters
    ----------
    size : int or (height, width)
    """

    def __init__(self, size):
        self.size = spatial(size, 2, "size")

    def __call__(self, x, bits=None):
        from cconv.data.image import resize_matrix

        rows, columns = (
            resize_matrix(n, m).astype(np.float32)
            for n, m in zip(_images(x, "Resize").shape[2:], self.size, strict=True)
        )
        return rows @ _floats(x) @ columns.T


class Normalize(Transform):
    """(x - mean) / std, each channel (or each pixel) by its own; uint8 becomes 0 to 1 first.

    `nn.Normalize` does the same inside a network, where prediction cannot forget it.

    Parameters
    ----------
    mean, std : float, array of C, or array that broadcasts with (C, H, W)
    """

    def __init__(self, mean, std=1.0):
        self.mean, self.std = (self._shaped(value, name) for value, name in ((mean, "mean"), (std, "std")))
        if not (self.std > 0).all():
            raise ValueError(f"std must be positive, got {std}")

    @staticmethod
    def _shaped(value, name):
        array = np.asarray(value, np.float32)
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got {value}")
        return array[:, None, None] if array.ndim == 1 else array

    def __call__(self, x, bits=None):
        for name in ("mean", "std"):
            try:
                np.broadcast_shapes(np.shape(x)[1:], getattr(self, name).shape)
            except ValueError:
                shape = getattr(self, name).shape
                raise ValueError(f"Normalize: {name} of shape {shape} does not fit x of shape {np.shape(x)}") from None
        return (_floats(x) - self.mean) / self.std


class _Mixing(Transform):
    """Blends every image with the one that a random permutation puts beside it, and their labels likewise."""

    mixes_labels = True

    def __init__(self, num_classes, alpha=1.0):
        self.num_classes = whole(num_classes, "num_classes", 1)
        self.alpha = float(alpha)
        if not (0 < self.alpha < float("inf")):
            raise ValueError(f"alpha must be positive, got {alpha}")

    def _share(self, bits):
        """A number of Beta(alpha, alpha), by the inverse of its distribution."""
        from scipy.special import betaincinv

        return float(betaincinv(self.alpha, self.alpha, uniform(bits)))

    def _one_hot(self, y):
        if y.ndim == 2:
            return y.astype(np.float32)
        if y.size and not (0 <= y.min() and y.max() < self.num_classes):
            raise ValueError(f"labels must be from 0 to {self.num_classes - 1}, got {y.min()} to {y.max()}")
        return np.eye(self.num_classes, dtype=np.float32)[y]

    @staticmethod
    def _partners(bits, count):
        return np.argsort(bits.random_raw(count), kind="stable")


class Mixup(_Mixing):
    """Each image becomes share * image + (1 - share) * another one, and so does its one-hot label.

    Labels come out as probabilities (N, num_classes), which `cross_entropy` takes. The share is drawn once a batch
    from Beta(alpha, alpha). H. Zhang et al. mixup: beyond empirical risk minimization. 2018, equation 1.

    Parameters
    ----------
    num_classes : int
    alpha : float, above 0
    """

    def __call__(self, x, y, bits):
        share, partners = np.float32(self._share(bits)), self._partners(bits, len(x))
        x, y = _floats(x), self._one_hot(np.asarray(y))
        return share * x + (1 - share) * x[partners], share * y + (1 - share) * y[partners]


class CutMix(_Mixing):
    """A rectangle of each image is replaced by that of another one; labels are mixed by the areas.

    S. Yun et al. CutMix: regularization strategy to train strong classifiers with localizable features. 2019.

    Parameters
    ----------
    num_classes : int
    alpha : float, above 0
    """

    def __call__(self, x, y, bits):
        height, width = _images(x, "CutMix").shape[2:]
        side = (1 - self._share(bits)) ** 0.5
        partners = self._partners(bits, len(x))
        top, bottom = self._span(height, side, bits)
        left, right = self._span(width, side, bits)
        mixed = x.copy()
        mixed[:, :, top:bottom, left:right] = x[partners, :, top:bottom, left:right]
        share = np.float32(1 - (bottom - top) * (right - left) / (height * width))
        y = self._one_hot(np.asarray(y))
        return mixed, share * y + (1 - share) * y[partners]

    @staticmethod
    def _span(length, side, bits):
        centre, half = int(below(bits, length)), round(length * side) // 2
        return max(centre - half, 0), min(centre + half, length)
