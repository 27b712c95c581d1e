"""Arguments of the public kernels: what users may pass, brought to the one form the bindings take.

Everything is checked here before anything is allocated or written; the C core checks again.
"""

import math
import numbers
import operator

import numpy as np

from cconv import _eltwise, _runtime

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_LIMIT = 2**62


def whole(value, name, minimum=None, most=_LIMIT):
    """`value` as an int; TypeError for anything else (bool included), ValueError below `minimum` or beyond +-`most`."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if minimum is not None and number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    if abs(number) > most:
        raise ValueError(f"{name} is too large: {number}")
    return number


def real(value, name):
    """`value` as a finite float; TypeError for what is no real number (bool included)."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number


def flag(value, name):
    """`value` as a bool; TypeError for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def one_of(value, names, name):
    """`value`, which must be one of the strings `names`."""
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be {', '.join(map(repr, names[:-1]))} or {names[-1]!r}, got {value!r}")
    return value


def spatial(value, rank, name, minimum=1):
    """An int or a sequence of `rank` (or one) ints, as a tuple of `rank` ints."""
    if isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim > 0):
        values = tuple(whole(v, name, minimum) for v in value)
        if len(values) == 1:
            values *= rank
        if len(values) != rank:
            raise ValueError(f"{name} must be an int{f' or {rank} ints' if rank > 1 else ''}, got {value!r}")
        return values
    return (whole(value, name, minimum),) * rank


def paddings(padding, rank, input_size, kernel_size, stride, dilation, name="padding"):
    """Any spelling of padding as ((before, after), ...), one pair a spatial axis.

    int | one int an axis | one (before, after) pair an axis | "valid" | "same" | "same_lower" | "full".
    "same" gives ceil(n / stride) outputs with the odd element at the end, "same_lower" at the start.
    """
    if isinstance(padding, str):
        return tuple(
            _named_padding(padding, n, k, s, d, name)
            for n, k, s, d in zip(input_size, kernel_size, stride, dilation, strict=True)
        )
    if isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        if len(padding) != rank:
            raise ValueError(f"{name} must have {rank} (before, after) pairs, got {padding!r}")
        pairs = []
        for pair in padding:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(f"{name} must be made of (before, after) pairs, got {padding!r}")
            pairs.append(tuple(whole(p, name, 0) for p in pair))
        return tuple(pairs)
    return tuple((p, p) for p in spatial(padding, rank, name, minimum=0))


def _named_padding(kind, n, k, s, d, name):
    reach = d * (k - 1)
    if kind == "valid":
        return (0, 0)
    if kind == "full":
        return whole(reach, name), whole(reach, name)
    if kind in ("same", "same_lower"):
        total = max((-(-n // s) - 1) * s + reach + 1 - n, 0)
        small, large = total // 2, whole(total, name) - total // 2
        return (small, large) if kind == "same" else (large, small)
    raise ValueError(f"{name} must be 'valid', 'same', 'same_lower', 'full', an int or a tuple, got {kind!r}")


def output_sizes(input_size, kernel_size, stride, pads, dilation, what):
    """Spatial output size of a window; ValueError where the kernel exceeds the padded input."""
    sizes = []
    for n, k, s, (before, after), d in zip(input_size, kernel_size, stride, pads, dilation, strict=True):
        free = n + before + after - d * (k - 1) - 1
        if free < 0:
            raise ValueError(
                f"{what}: kernel_size {tuple(kernel_size)} with dilation {tuple(dilation)} exceeds the padded "
                f"input: input size {tuple(input_size)}, padding {tuple(pads)}"
            )
        sizes.append(free // s + 1)
    return tuple(sizes)


_AXES = {3: " (N, C, L)", 4: " (N, C, H, W)", 5: " (N, C, D, H, W)"}


def floats(x, name, ndim=None, dtype=None):
    """`x` as a native, aligned float32 or float64 ndarray of any strides.

    Raises TypeError for other element types, ValueError for another number of axes than `ndim`.
    """
    if type(x) is np.ndarray and x.dtype in FLOATS and x.flags.aligned and x.dtype.isnative:
        if (ndim is None or x.ndim == ndim) and (dtype is None or x.dtype == dtype):
            return x  # the usual case, without the detours below
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array")
    x = np.asarray(x)
    if x.dtype.newbyteorder("=") not in FLOATS or x.dtype.hasobject:
        hint = f': {name} = np.asarray({name}, "float32") makes it so' if x.dtype.kind in "iub" else ""
        raise TypeError(f"{name} must be float32 or float64, got {x.dtype}{hint}")
    if ndim is not None and x.ndim != ndim:
        axes = _AXES.get(ndim, "") if name == "x" else ""
        raise ValueError(f"{name} must have {ndim} axes{axes}, got shape {x.shape}")
    if dtype is not None and x.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} must be {np.dtype(dtype)} like the other arrays, got {x.dtype}")
    if not x.dtype.isnative or not x.flags.aligned:
        x = x.astype(x.dtype.newbyteorder("="), order="K")
    return x


def numbers_of(value, name, kinds):
    """`value` as an array whose dtype is of one of the `kinds` (NumPy's letters); TypeError for anything else."""
    array = np.asarray(value)
    if isinstance(value, np.ma.MaskedArray) or array.dtype.kind not in kinds:
        what = {"iu": "an array of integers", "fiu": "an array of real numbers"}[kinds]
        raise TypeError(f"{name} must be {what}, got {type(value).__name__} of {array.dtype}")
    return array


def _pixels(x):
    """The NCHW-shaped `x` with its channels at the end; several times faster than np.moveaxis."""
    return x.transpose(0, *range(2, x.ndim), 1)


def is_channels_last(x):
    """Whether the NCHW-shaped `x` lies channels-last in memory (and not also channels-first)."""
    return not x.flags.c_contiguous and x.ndim > 2 and _pixels(x).flags.c_contiguous


def spacing(x):
    """How many values after a position the next one begins in the NCHW-shaped `x`, if its channels lie side by side and
    its positions evenly spaced, as in a part of a channels-last array; otherwise None."""
    if x.ndim < 3 or x.size == 0 or (x.shape[1] > 1 and x.strides[1] != x.itemsize):
        return None
    step, count = None, 1
    for axis in (*range(x.ndim - 1, 1, -1), 0):
        if x.shape[axis] > 1:
            if step is None:
                step = x.strides[axis] // count
            if x.strides[axis] != step * count:
                return None
        count *= x.shape[axis]
    values = x.shape[1] if step is None else step // x.itemsize
    return values if values >= x.shape[1] and (step is None or step % x.itemsize == 0) else None


def activation(x, name, ndim, dtype=None):
    """`x` (N, C, spatial...) in one of the two memory orders the kernels take.

    Returns (array, channels_last). Other strides are copied to channels-first.
    """
    x = floats(x, name, ndim, dtype)
    if x.flags.c_contiguous:
        return x, False
    if is_channels_last(x):
        return x, True
    return np.ascontiguousarray(x), False


def to_channels_last(x, out=None):
    """A channels-last copy of the NCHW-shaped `x`, of floats; in `out`, if it lies so and apart from x."""
    if x.dtype in FLOATS and x.flags.c_contiguous and x.flags.aligned and not _pixels(x).flags.c_contiguous:
        return _eltwise.reorder(x, True, out)
    if x.dtype in FLOATS and x.shape[1] > 1 and spacing(x) is not None:
        y = _runtime.empty(x.shape, x.dtype, True)
        copy_into(y, x)
        return y
    y = np.ascontiguousarray(_pixels(x))
    return y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1))


def to_channels_first(x, out=None):
    """A C-contiguous copy of the NCHW-shaped `x`, of floats or int64, or x if it is one; `out` as in `to_channels_last`."""
    if x.dtype in (*FLOATS, np.int64) and is_channels_last(x) and x.flags.aligned:
        if x.dtype == np.int64:  # bits are bits
            return _eltwise.reorder(x.view(np.float64), False).view(np.int64)
        return _eltwise.reorder(x, False, out)
    return np.ascontiguousarray(x)


def returned(y, channels_last, out=None):
    """A result in the memory order of the argument; in `out`, if it lies so and y had to be copied."""
    if channels_last:
        return y if is_channels_last(y) else to_channels_last(y, out)
    return to_channels_first(y, out)


def copy_into(place, x):
    """place[...] = x, by all threads where both are channels of channels-last arrays."""
    same = place.shape == x.shape and place.dtype == x.dtype and x.dtype in FLOATS
    apart = (spacing(place), spacing(x)) if same else (None, None)
    if None in apart:
        place[...] = x
    else:
        _eltwise.copy_positions(x, apart[1], place, apart[0])


def like(x, name, shape, channels_last, dtype):
    """`x` of exactly `shape`, copied to the memory order asked for where it differs."""
    x = floats(x, name, len(shape), dtype)
    if x.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {x.shape}")
    if channels_last and x.ndim > 2:
        return x if is_channels_last(x) else to_channels_last(x)
    return np.ascontiguousarray(x).reshape(shape)  # which NumPy makes (1,) of ()


def spaced_like(x, name, shape, dtype):
    """(`x` of exactly `shape`, its `spacing`): some channels of a channels-last array stay where they are, other orders are
    copied to channels-last."""
    if type(x) is np.ndarray and x.shape == tuple(shape) and x.dtype == dtype and x.flags.aligned:
        apart = spacing(x)
        if apart is not None:
            return x, apart
    return like(x, name, shape, True, dtype), 0


def parameter(x, name, shape, dtype):
    """A C-contiguous parameter array of exactly `shape`, or None."""
    if x is None:
        return None
    x = floats(x, name, len(shape), dtype)
    if x.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {x.shape}")
    return np.ascontiguousarray(x)
