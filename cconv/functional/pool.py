"""Pooling: maxima and averages over windows, and their gradients, in one, two and three dimensions."""

import math
from functools import lru_cache

import numpy as np

from cconv._pool import Pooling
from cconv.functional._arguments import (
    activation,
    flag,
    like,
    numbers_of,
    paddings,
    returned,
    spatial,
    to_channels_last,
    whole,
)
from cconv.functional._out import with_out
from cconv.functional._ranks import each_rank

__all__ = [
    f"{name}{rank}d{suffix}"
    for name in ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
    for suffix in ("", "_backward")
    for rank in (1, 2, 3)
]


# From so many channels on, kernels that go along them gain more than a copy of a channels-first array costs.
MANY_CHANNELS = 16


@lru_cache(maxsize=1024)
def prepared(name, shape, type_number, channels_last, **geometry):
    """The Pooling for checked arguments (tuples of ints and bools only, so that equal means the same)."""
    try:
        return Pooling(name, shape, type_number, channels_last, **geometry)
    except ValueError as error:
        window = ", ".join(f"{key} {value}" for key, value in geometry.items() if isinstance(value, tuple))
        raise ValueError(f"{error}: x {shape}, {window}") from None


def window(rank, input_size, kernel_size, stride, padding, dilation):
    """kernel, stride, pads, dilation as tuples; ValueError for padding beyond half the window, or as pairs beyond it.

    torch takes ints up to half the window, ONNX pairs as long as a window still sees the image.
    """
    kernel = spatial(kernel_size, rank, "kernel_size")
    stride = kernel if stride is None else spatial(stride, rank, "stride")
    dilation = spatial(dilation, rank, "dilation")
    pads = paddings(padding, rank, input_size, kernel, stride, dilation)
    if not isinstance(padding, str):
        in_pairs = isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding)
        for k, d, pair in zip(kernel, dilation, pads, strict=True):
            reach = d * (k - 1)
            if max(pair) > (reach if in_pairs else (reach + 1) // 2):
                limit = "less than" if in_pairs else "at most half of"
                raise ValueError(
                    f"padding must be {limit} the window of kernel_size {kernel} and dilation {dilation}, got {padding!r}"
                )
    return {"kernel": kernel, "stride": stride, "pads": pads, "dilation": dilation}


def adaptive_size(rank, input_size, output_size):
    """output_size as a tuple of ints; None entries keep the input's size."""
    if output_size is None:
        return input_size
    if isinstance(output_size, (tuple, list)) and None in output_size:
        if len(output_size) not in (1, rank):
            raise ValueError(f"output_size must be an int{f' or {rank} ints' if rank > 1 else ''}, got {output_size!r}")
        sizes = tuple(output_size) * (rank if len(output_size) == 1 else 1)
        return tuple(n if s is None else whole(s, "output_size", 1) for s, n in zip(sizes, input_size, strict=True))
    return spatial(output_size, rank, "output_size")


def divisor(value):
    number = 0 if value is None else whole(value, "divisor_override")
    if value is not None and number == 0:
        raise ValueError("divisor_override must not be 0")
    return number


def image(x, name, rank):
    """An activation with at least one element along each spatial axis."""
    x, channels_last = activation(x, name, rank + 2)
    if 0 in x.shape[2:]:
        raise ValueError(f"{name} must not have an empty spatial axis, got shape {x.shape}")
    return x, channels_last


def along_channels(x, channels_last):
    """(x, whether it lies channels-last now): many channels are brought side by side, for which the kernels are made."""
    if channels_last or x.shape[1] < MANY_CHANNELS:
        return x, channels_last
    return to_channels_last(x), True


def positions(indices, name, shape, channels_last):
    """int64 indices of exactly `shape` in the memory order asked for."""
    indices = numbers_of(indices, name, "iu")
    if indices.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {indices.shape}")
    if indices.dtype.kind == "u" and indices.dtype.itemsize == 8 and (indices > np.iinfo(np.int64).max).any():
        raise IndexError(f"{name} holds a value beyond int64")
    if channels_last:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(indices, 1, -1), dtype=np.int64), -1, 1)
    return np.ascontiguousarray(indices, dtype=np.int64)


def gradient(dy, pooling, channels_last, dtype):
    """`dy` as the pooling's backward takes it."""
    if pooling.fits_output(dy):
        return dy
    return like(dy, "dy", pooling.output_shape, channels_last, dtype)


@with_out
def _max_pool(
    rank, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *, out=None
):
    """Maximum of every window, #-D.

    Parameters
    ----------
    x : array (N, C, spatial...), float32 or float64
    kernel_size, stride, dilation : int or # ints; stride None means kernel_size
    padding : int or # ints, at most half the window; # (before, after) pairs, less than the window; or "valid",
        "same", "same_lower", "full". Padding never wins.
    ceil_mode : bool, round the output size up; a window that would start in the trailing padding is dropped
    return_indices : bool, also return where each maximum was

    Returns
    -------
    y : array (N, C, out...), in the memory order of x
    indices : int64 array like y, with return_indices: flat position in the plane of x. Of equals the first
        in row-major order. NaN wins over every number, the first NaN.

    Raises
    ------
    ValueError
        For sizes that do not fit; TypeError for other element types.
    """
    x, asked = image(x, "x", rank)
    geometry = window(rank, x.shape[2:], kernel_size, stride, padding, dilation)
    geometry["ceil_mode"] = flag(ceil_mode, "ceil_mode")
    return _maxima(f"max_pool{rank}d", x, asked, flag(return_indices, "return_indices"), out, geometry)


def _maxima(name, x, asked, return_indices, out, geometry):
    prepared(name, x.shape, x.dtype.num, asked, **geometry)  # or an error, before anything is copied
    x, channels_last = along_channels(x, asked)
    pooling = prepared(name, x.shape, x.dtype.num, channels_last, **geometry)
    if return_indices:
        return tuple(returned(result, asked) for result in pooling.max_with_indices(x))
    return returned(pooling.max(x, out), asked, out)


@with_out
def _max_pool_backward(rank, dy, indices, input_size, *, out=None):
    """Gradient of max_pool#d: each dy is added where its maximum was, 0 elsewhere.

    Parameters
    ----------
    dy : array (N, C, out...), float32 or float64
    indices : integer array like dy, as max_pool#d(return_indices=True) gives
    input_size : int or # ints, spatial size of x

    Returns
    -------
    dx : array (N, C, input_size...), in the memory order of dy

    Raises
    ------
    IndexError
        Where an index lies outside the plane of `input_size`.
    """
    dy, channels_last = image(dy, "dy", rank)
    indices = positions(indices, "indices", dy.shape, channels_last)
    shape = dy.shape[:2] + spatial(input_size, rank, "input_size")
    name = f"max_pool{rank}d_backward"
    pooling = prepared(name, shape, dy.dtype.num, channels_last, output=dy.shape[2:])
    return pooling.max_backward_indices(dy, indices, out)


@with_out
def _avg_pool(
    rank,
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
    dilation=1,
    *,
    out=None,
):
    """Average of every window, #-D.

    Parameters
    ----------
    x : array (N, C, spatial...), float32 or float64
    kernel_size, stride, dilation : int or # ints; stride None means kernel_size
    padding, ceil_mode : as in max_pool#d
    count_include_pad : bool, divide by the positions inside the padded image, or only those inside x
    divisor_override : int other than 0, divide by this instead

    Returns
    -------
    y : array (N, C, out...), in the memory order of x

    Raises
    ------
    ValueError
        For sizes that do not fit; TypeError for other element types.
    """
    x, asked = image(x, "x", rank)
    geometry = window(rank, x.shape[2:], kernel_size, stride, padding, dilation)
    geometry |= average_options(ceil_mode, count_include_pad, divisor_override)
    return _averages(f"avg_pool{rank}d", x, asked, out, geometry)


def _averages(name, x, asked, out, geometry):
    pooling = prepared(name, x.shape, x.dtype.num, asked, **geometry)
    if math.prod(pooling.output_shape[2:]) == 1:  # planes are summed as they lie
        return pooling.average(x, out)
    x, channels_last = along_channels(x, asked)
    return returned(prepared(name, x.shape, x.dtype.num, channels_last, **geometry).average(x, out), asked, out)


def _average_gradients(name, shape, dy, asked, out, geometry):
    pooling = prepared(name, shape, dy.dtype.num, asked, **geometry)
    dy = gradient(dy, pooling, asked, dy.dtype)
    dy, channels_last = along_channels(dy, asked)
    pooling = prepared(name, shape, dy.dtype.num, channels_last, **geometry)
    return returned(pooling.average_backward(dy, out), asked, out)


def average_options(ceil_mode, count_include_pad, divisor_override):
    return {
        "ceil_mode": flag(ceil_mode, "ceil_mode"),
        "count_include_pad": flag(count_include_pad, "count_include_pad"),
        "divisor": divisor(divisor_override),
    }


@with_out
def _avg_pool_backward(
    rank,
    dy,
    input_size,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
    dilation=1,
    *,
    out=None,
):
    """Gradient of avg_pool#d: each dy, divided as its window was, goes to every element the window saw.

    Parameters
    ----------
    dy : array (N, C, out...), float32 or float64
    input_size : int or # ints, spatial size of x
    others : as in avg_pool#d

    Returns
    -------
    dx : array (N, C, input_size...), in the memory order of dy

    Raises
    ------
    ValueError
        Where dy does not have the shape of avg_pool#d's output.
    """
    dy, asked = image(dy, "dy", rank)
    size = spatial(input_size, rank, "input_size")
    geometry = window(rank, size, kernel_size, stride, padding, dilation)
    geometry |= average_options(ceil_mode, count_include_pad, divisor_override)
    return _average_gradients(f"avg_pool{rank}d_backward", dy.shape[:2] + size, dy, asked, out, geometry)


@with_out
def _adaptive_avg_pool(rank, x, output_size, *, out=None):
    """Average over regions that divide x evenly into `output_size`, #-D.

    Output o of an axis sees floor(o*in/out) <= i < ceil((o+1)*in/out).

    Parameters
    ----------
    x : array (N, C, spatial...), float32 or float64
    output_size : int or # ints; None keeps the input's size

    Returns
    -------
    y : array (N, C, output_size...), in the memory order of x

    Raises
    ------
    ValueError
        For sizes that do not fit; TypeError for other element types.
    """
    x, asked = image(x, "x", rank)
    size = adaptive_size(rank, x.shape[2:], output_size)
    return _averages(f"adaptive_avg_pool{rank}d", x, asked, out, {"output": size})


@with_out
def _adaptive_avg_pool_backward(rank, dy, input_size, *, out=None):
    """Gradient of adaptive_avg_pool#d.

    Parameters
    ----------
    dy : array (N, C, out...), float32 or float64
    input_size : int or # ints, spatial size of x

    Returns
    -------
    dx : array (N, C, input_size...), in the memory order of dy

    Raises
    ------
    ValueError
        For sizes that do not fit; TypeError for other element types.
    """
    dy, asked = image(dy, "dy", rank)
    shape = dy.shape[:2] + spatial(input_size, rank, "input_size")
    return _average_gradients(f"adaptive_avg_pool{rank}d_backward", shape, dy, asked, out, {"output": dy.shape[2:]})


@with_out
def _adaptive_max_pool(rank, x, output_size, return_indices=False, *, out=None):
    """Maximum over the regions of adaptive_avg_pool#d.

    Parameters
    ----------
    x : array (N, C, spatial...), float32 or float64
    output_size : int or # ints; None keeps the input's size
    return_indices : bool, also return where each maximum was

    Returns
    -------
    y : array (N, C, output_size...), in the memory order of x
    indices : int64 array like y, with return_indices; as in max_pool#d

    Raises
    ------
    ValueError
        For sizes that do not fit; TypeError for other element types.
    """
    x, asked = image(x, "x", rank)
    geometry = {"output": adaptive_size(rank, x.shape[2:], output_size)}
    return _maxima(f"adaptive_max_pool{rank}d", x, asked, flag(return_indices, "return_indices"), out, geometry)


max_pool1d, max_pool2d, max_pool3d = each_rank(_max_pool, "max_pool#d")
max_pool1d_backward, max_pool2d_backward, max_pool3d_backward = each_rank(_max_pool_backward, "max_pool#d_backward")
avg_pool1d, avg_pool2d, avg_pool3d = each_rank(_avg_pool, "avg_pool#d")
avg_pool1d_backward, avg_pool2d_backward, avg_pool3d_backward = each_rank(_avg_pool_backward, "avg_pool#d_backward")
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = each_rank(_adaptive_avg_pool, "adaptive_avg_pool#d")
adaptive_avg_pool1d_backward, adaptive_avg_pool2d_backward, adaptive_avg_pool3d_backward = each_rank(
    _adaptive_avg_pool_backward, "adaptive_avg_pool#d_backward"
)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = each_rank(_adaptive_max_pool, "adaptive_max_pool#d")
adaptive_max_pool1d_backward, adaptive_max_pool2d_backward, adaptive_max_pool3d_backward = each_rank(
    _max_pool_backward, "adaptive_max_pool#d_backward"
)
