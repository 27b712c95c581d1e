"""Padding of arrays at both ends of their last axes, and cropping, with torch's order of arguments."""

import numpy as np

from cconv import _runtime
from cconv.functional._arguments import floats, is_channels_last, one_of, real, whole
from cconv.functional._out import with_out

__all__ = ["pad", "pad_backward"]

MODES = ("constant", "reflect", "replicate", "circular")


def pairs_of(pad, axes, name="pad"):
    """torch's flat pad, last axis first, as one (before, after) pair an axis of `axes`, first axis first."""
    if not isinstance(pad, (tuple, list)) or len(pad) % 2 != 0 or len(pad) > 2 * axes:
        raise ValueError(f"{name} must hold two ints an axis, for at most {axes} axes, got {pad!r}")
    numbers = [whole(p, name) for p in pad]
    pairs = [(numbers[i], numbers[i + 1]) for i in range(0, len(numbers), 2)]
    return ((0, 0),) * (axes - len(pairs)) + tuple(reversed(pairs))


def _sources(n, before, after, mode):
    """Where the `before` positions in front of an axis of `n` and the `after` positions behind it come from."""
    border = np.r_[-before:0, n : n + after]
    if mode == "replicate":
        return np.clip(border, 0, n - 1)
    if mode == "circular":
        return border % n
    return (n - 1) - np.abs((n - 1) - np.abs(border))


def _check_reach(shape, pairs, mode):
    most = {"reflect": 1, "circular": 0}.get(mode)
    for n, pair in zip(shape, pairs, strict=True):
        wanted = max(pair)
        if wanted > 0 and mode != "constant" and (n == 0 or (most is not None and wanted > n - most)):
            limit = "a size of 0" if n == 0 else f"the size {n}" if most == 0 else f"the size {n} less 1"
            raise ValueError(f"pad of {wanted} in mode {mode!r} goes beyond {limit}: x of shape {shape}, pad {pairs}")
    size = tuple(n + sum(pair) for n, pair in zip(shape, pairs, strict=True))
    if min(size, default=1) < 0:
        raise ValueError(f"pad {pairs} leaves a negative size of x of shape {shape}")


def _slices(pairs, sign=1):
    """The part of a padded array that is not padding; with sign -1 what cropping leaves."""
    ends = [(max(sign * before, 0), max(sign * after, 0)) for before, after in pairs]
    return tuple(slice(before, -after if after else None) for before, after in ends)


def _borders(padded_shape, pairs, mode):
    """(axis, positions in the border, positions they are copied from), axis by axis."""
    for axis, pair in enumerate(pairs):
        before, after = (max(p, 0) for p in pair)
        n = padded_shape[axis] - before - after
        if before or after:
            yield axis, np.r_[0:before, before + n : before + n + after], before + _sources(n, before, after, mode)


def _along(axis, positions):
    return (slice(None),) * axis + (positions,)


def _positive(pairs):
    return tuple((max(before, 0), max(after, 0)) for before, after in pairs)


def _negative(pairs):
    return tuple((min(before, 0), min(after, 0)) for before, after in pairs)


def padded(x, pairs, mode="constant", value=0.0):
    """x with one (before, after) pair an axis; negative ones crop, in circular mode before the other end is read."""
    if mode == "circular" and min(map(min, pairs), default=0) < 0:
        x, pairs = padded(x, _negative(pairs)), _positive(pairs)
    _check_reach(x.shape, pairs, mode)
    shape = tuple(n + max(before, 0) + max(after, 0) for n, (before, after) in zip(x.shape, pairs, strict=True))
    y = _runtime.empty(shape, x.dtype, is_channels_last(x))
    if mode == "constant":
        y[...] = value
    y[_slices(pairs)] = x
    if mode != "constant" and y.size:
        for axis, border, sources in _borders(shape, pairs, mode):
            y[_along(axis, border)] = y[_along(axis, sources)]
    return _cropped(y, pairs)


def _cropped(y, pairs):
    cut = y[_slices(pairs, -1)]
    return cut if cut.shape == y.shape else _copied(cut, is_channels_last(y))


def _copied(part, channels_last):
    copy = _runtime.empty(part.shape, part.dtype, channels_last)
    copy[...] = part
    return copy


def padded_backward(dy, pairs, mode="constant"):
    """dx of `padded` for dy of its shape."""
    if mode == "circular" and min(map(min, pairs), default=0) < 0:
        return padded_backward(padded_backward(dy, _positive(pairs), mode), _negative(pairs))
    channels_last = is_channels_last(dy)
    shape = tuple(n - min(before, 0) - min(after, 0) for n, (before, after) in zip(dy.shape, pairs, strict=True))
    inner = tuple(n - max(before, 0) - max(after, 0) for n, (before, after) in zip(shape, pairs, strict=True))
    if min(inner, default=1) < 0:
        raise ValueError(f"pad {pairs} does not fit dy of shape {dy.shape}")
    _check_reach(inner, pairs, mode)
    if mode != "constant" or shape != dy.shape:
        full = _runtime.empty(shape, dy.dtype, channels_last)
        full[...] = 0
        full[_slices(pairs, -1)] = dy
        dy = full
    if mode != "constant" and dy.size:
        for axis, border, sources in reversed(list(_borders(shape, pairs, mode))):
            for to, start in zip(sources, border, strict=True):
                dy[_along(axis, to)] += dy[_along(axis, start)]
    return _copied(dy[_slices(pairs)], channels_last)


def _array(x, name):
    x = floats(x, name)
    if x.ndim > 8:
        raise ValueError(f"{name} must have at most 8 axes, got shape {x.shape}")
    return x


@with_out
def pad(x, pad, mode="constant", value=None):
    """Put elements in front of and behind the last axes, or with negative numbers take them away.

    Parameters
    ----------
    x : ndarray, float32 or float64
    pad : ints (before, after) of the last axis, then of the last but one, and so on, as in torch
    mode : "constant", "reflect" (without repeating the edge; at most size - 1), "replicate" (the edge again) or
        "circular" (from the other end; at most the size)
    value : float or None (0), of the constant

    Returns
    -------
    y : ndarray, in the memory order of `x`

    Raises
    ------
    ValueError, TypeError
        For numbers that do not fit, naming the argument and the shapes.
    """
    x = _array(x, "x")
    pairs = pairs_of(pad, x.ndim)
    one_of(mode, MODES, "mode")
    if value is not None and mode != "constant":
        raise ValueError(f"value is for mode 'constant', got value {value!r} with mode {mode!r}")
    return padded(x, pairs, mode, 0.0 if value is None else fill_value(value))


def fill_value(value):
    """A real number, infinities and NaN included."""
    return float(value) if isinstance(value, (float, np.floating)) else real(value, "value")


@with_out
def pad_backward(dy, pad, mode="constant"):
    """Gradient of `pad`: each dy is added where its element came from; that of the constant is dropped.

    Parameters
    ----------
    dy : ndarray of the shape of `pad`'s result
    pad, mode : as in `pad`

    Returns
    -------
    dx : ndarray, in the memory order of `dy`
    """
    dy = _array(dy, "dy")
    return padded_backward(dy, pairs_of(pad, dy.ndim), one_of(mode, MODES, "mode"))
