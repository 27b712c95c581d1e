"""Unpooling: maxima put back where they came from, in one, two and three dimensions."""

import numpy as np

from cconv.functional._arguments import spatial
from cconv.functional._out import with_out
from cconv.functional._ranks import each_rank
from cconv.functional.pool import image, positions, prepared

__all__ = [f"max_unpool{rank}d{suffix}" for suffix in ("", "_backward") for rank in (1, 2, 3)]


@with_out
def _max_unpool(rank, x, indices, output_size, *, out=None):
    """Put each value of x at its index in a plane of zeros (Zeiler and Fergus 2014), #-D.

    Parameters
    ----------
    x : array (N, C, spatial...), float32 or float64
    indices : integer array like x: flat positions in the output plane; of equal ones the last stays
    output_size : int or # ints, spatial size of the output

    Returns
    -------
    y : array (N, C, output_size...), in the memory order of x

    Raises
    ------
    IndexError
        Where an index lies outside the plane of `output_size`.
    """
    x, channels_last = image(x, "x", rank)
    indices = positions(indices, "indices", x.shape, channels_last)
    size = spatial(output_size, rank, "output_size")
    pooling = prepared(f"max_unpool{rank}d", x.shape, x.dtype.num, channels_last, output=size)
    return pooling.unpool(x, indices, out)


@with_out
def _max_unpool_backward(rank, dy, indices, *, out=None):
    """Gradient of max_unpool#d: dx = dy at each index.

    Parameters
    ----------
    dy : array (N, C, output_size...), float32 or float64
    indices : integer array (N, C, spatial...), as given to max_unpool#d

    Returns
    -------
    dx : array like indices, of dy's dtype and memory order

    Raises
    ------
    IndexError
        Where an index lies outside dy's plane.
    """
    dy, channels_last = image(dy, "dy", rank)
    shape = np.shape(indices)
    if len(shape) != rank + 2 or shape[:2] != dy.shape[:2]:
        raise ValueError(f"indices must have the batch and channels of dy {dy.shape}, got shape {shape}")
    indices = positions(indices, "indices", shape, channels_last)
    pooling = prepared(f"max_unpool{rank}d_backward", shape, dy.dtype.num, channels_last, output=dy.shape[2:])
    return pooling.unpool_backward(dy, indices, out)


max_unpool1d, max_unpool2d, max_unpool3d = each_rank(_max_unpool, "max_unpool#d")
max_unpool1d_backward, max_unpool2d_backward, max_unpool3d_backward = each_rank(
    _max_unpool_backward, "max_unpool#d_backward"
)
