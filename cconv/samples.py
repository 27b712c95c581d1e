"""What users give a Model, checked before anything runs: samples and targets."""

import numpy as np

from cconv.data.source import Source


def two(pair, name):
    """The (x, y) that `pair` must be."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        found = f"{len(pair)} items" if isinstance(pair, (tuple, list)) else type(pair).__name__
        raise ValueError(f"{name} must be (x, y), got {found}")
    return pair


def some(x, name):
    """`x` as an array or Source of at least one sample: floats, or uint8."""
    x = x if isinstance(x, Source) else np.asarray(x)
    if x.dtype.kind != "f" and x.dtype != np.uint8:
        raise TypeError(f"{name} must be floats, or uint8 that is divided by 255; got {x.dtype}")
    if x.ndim < 2:
        raise ValueError(f"{name} must have samples along its first axis and features after it, got {x.shape}")
    if len(x) == 0:
        raise ValueError(f"{name} has no samples: shape {x.shape}")
    return x


def pair(x, y, names):
    """Samples and as many targets."""
    x, y = some(x, names[0]), np.asarray(y)
    if y.ndim < 1 or len(x) != len(y):
        raise ValueError(f"{names[0]} and {names[1]} must have the same length, got {x.shape} and {y.shape}")
    return x, y


def outputs(net, name, sample):
    """Shape of what `net` gives for one sample of that shape.

    Raises
    ------
    ValueError
        Naming `name`, the shape and the layer, where the network does not take such samples.
    """
    try:
        return net.output_shape((1, *sample))[1:]
    except (ValueError, TypeError) as error:
        side = None if net.config is None else net.config["side"]
        made = "" if side is None else f", which was made for images of {side}x{side}"
        raise ValueError(f"{name} has samples of shape {sample}, they do not fit the network{made}: {error}") from error


def classes(y, name, shape, dtype):
    """Targets of a classifier whose outputs have that shape: class numbers as int64, or probabilities in `dtype`."""
    if y.dtype.kind == "f" and y.ndim > 1:
        if y.shape[1:] != shape:
            raise ValueError(f"{name} has probabilities of shape {y.shape[1:]}, the network's outputs have {shape}")
        return y.astype(dtype, copy=False)
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise TypeError(
            f"{name} must be class numbers, integers of shape (N,), or probabilities, floats of shape (N, classes); "
            f"got {y.dtype} of {y.shape}"
        )
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= shape[0]:
        raise ValueError(
            f"{name} holds class {low if low < 0 else high}, the network's outputs are classes 0 to {shape[0] - 1}"
        )
    return y.astype(np.int64, copy=False)


def converted(x, dtype):
    """A batch in the network's element type; uint8 becomes 0 to 1."""
    if x.dtype == dtype:
        return x
    if x.dtype == np.uint8:
        return np.divide(x, dtype.type(255), dtype=dtype)
    return x.astype(dtype)
