"""Padding of arrays at both ends of their last axes, and cropping, with torch's order of arguments."""

import math

import numpy as np

from cconv import _eltwise, _runtime
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


def _check_reach(shape, pairs, mode):
    """Raise unless x of `shape` has what is asked for; circular, what was cropped does not come round again."""
    kept, grown = shape, pairs
    if mode == "circular":
        kept = tuple(n + min(before, 0) + min(after, 0) for n, (before, after) in zip(shape, pairs, strict=True))
        grown = tuple((max(before, 0), max(after, 0)) for before, after in pairs)
    most = {"reflect": 1, "circular": 0}.get(mode)
    for n, pair in zip(kept, grown, strict=True):
        wanted = max(pair)
        if wanted > 0 and mode != "constant" and (n <= 0 or (most is not None and wanted > n - most)):
            limit = "a size of 0" if n <= 0 else f"the size {n}" if most == 0 else f"the size {n} less 1"
            raise ValueError(f"pad of {wanted} in mode {mode!r} goes beyond {limit}: x of shape {shape}, pad {pairs}")
    if min((n + sum(pair) for n, pair in zip(shape, pairs, strict=True)), default=1) < 0:
        raise ValueError(f"pad {pairs} leaves a negative size of x of shape {shape}")


def _sources(n, before, after, mode):
    """Where each position of a padded axis of `n` comes from, int64; -1 for the constant."""
    if mode == "circular":
        left = n + min(before, 0) + min(after, 0)
        return np.arange(-max(before, 0), left + max(after, 0)) % left - min(before, 0)
    there = np.arange(-max(before, 0), n + max(after, 0))
    if mode == "constant":
        there[(there < 0) | (there >= n)] = -1
    elif mode == "replicate":
        there = np.clip(there, 0, n - 1)
    else:
        there = (n - 1) - np.abs((n - 1) - np.abs(there))
    return there[max(-before, 0) : len(there) - max(-after, 0)]


def _axes(shape, pairs, mode, channels_last):
    """(positions in front, sizes of x, sources, positions behind): the axes from the first that is padded to the last, in the
    order of memory."""
    order = [0, *range(2, len(shape)), 1] if channels_last else list(range(len(shape)))
    touched = [i for i, axis in enumerate(order) if pairs[axis] != (0, 0)] or [0]
    middle = order[touched[0] : touched[-1] + 1]
    outer, inner = (math.prod(shape[axis] for axis in part) for part in (order[: touched[0]], order[touched[-1] + 1 :]))
    sources = [np.ascontiguousarray(_sources(shape[axis], *pairs[axis], mode), np.int64) for axis in middle]
    return outer, [shape[axis] for axis in middle], sources, inner


def _lying(x):
    """(x in one of the two memory orders, whether it is channels-last)."""
    channels_last = is_channels_last(x)
    return (x if channels_last else np.ascontiguousarray(x)), channels_last


def padded(x, pairs, mode="constant", value=0.0):
    """x with one (before, after) pair an axis; negative ones crop, in circular mode before the other end is read."""
    _check_reach(x.shape, pairs, mode)
    x, channels_last = _lying(x)
    y = _runtime.empty(tuple(n + sum(pair) for n, pair in zip(x.shape, pairs, strict=True)), x.dtype, channels_last)
    if y.size and y.ndim:
        _eltwise.pad(x, y, *_axes(x.shape, pairs, mode, channels_last), value)
    elif y.size:
        y[...] = x
    return y


def padded_backward(dy, pairs, mode="constant"):
    """dx of `padded` for dy of its shape."""
    shape = tuple(n - sum(pair) for n, pair in zip(dy.shape, pairs, strict=True))
    if min(shape, default=1) < 0:
        raise ValueError(f"pad {pairs} does not fit dy of shape {dy.shape}")
    _check_reach(shape, pairs, mode)
    dy, channels_last = _lying(dy)
    dx = _runtime.empty(shape, dy.dtype, channels_last)
    if dx.size and dy.size and dx.ndim:
        _eltwise.pad_backward(dy, dx, *_axes(shape, pairs, mode, channels_last))
    else:
        dx[...] = dy if not dx.ndim else 0
    return dx


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
