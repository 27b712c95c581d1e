"""Padding layers: constants, reflections, the edge again, or the other end, around the spatial axes."""

import numpy as np

from cconv.functional import padding as F
from cconv.functional._arguments import floats, spatial
from cconv.nn.base import Layer


class _Pad(Layer):
    """Padding around the spatial axes, with torch's arguments.

    Parameters
    ----------
    padding : int, or (before, after) of the last axis, then of the last but one, and so on; negative numbers crop
    """

    rank, mode, value = None, "constant", 0.0

    def __init__(self, padding):
        self.padding = spatial(padding, 2 * self.rank, "padding", minimum=None)

    def _pairs(self, shape):
        if len(shape) != self.rank + 2:
            raise ValueError(f"{self!r} takes (N, C) and {self.rank} spatial axes, got shape {tuple(shape)}")
        return F.pairs_of(self.padding, len(shape), "padding")

    def forward(self, x, train):
        x = floats(x, "x")
        pairs, mode, shape = self._pairs(x.shape), self.mode, self.output_shape(x.shape)

        def backward(dy, need_dx=True):
            if not need_dx:
                return None
            if np.shape(dy) != shape:
                raise ValueError(f"dy must have shape {shape}, got {np.shape(dy)}")
            return F.padded_backward(floats(dy, "dy", dtype=x.dtype), pairs, mode)

        return F.padded(x, pairs, mode, self.value), backward

    def output_shape(self, input_shape):
        return tuple(n + sum(pair) for n, pair in zip(input_shape, self._pairs(input_shape), strict=True))

    def extra_repr(self):
        return ", ".join(map(str, self.padding))


class _ConstantPad(_Pad):
    """A constant around the spatial axes, with torch's arguments.

    Parameters
    ----------
    padding : int, or (before, after) of the last axis, then of the last but one, and so on; negative numbers crop
    value : float
    """

    def __init__(self, padding, value):
        super().__init__(padding)
        self.value = F.fill_value(value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


def _of_rank(name, rank, base=_Pad, mode="constant"):
    head, rule, rest = (base.__doc__ or "").partition("\n\n    Parameters\n")
    doc = f"{head}\n\n    Arrays have {rank} spatial {'axis' if rank == 1 else 'axes'}; mode {mode!r} of `functional.pad`.{rule}{rest}"
    return type(f"{name}{rank}d", (base,), {"rank": rank, "mode": mode, "__doc__": doc, "__module__": __name__})


ConstantPad1d, ConstantPad2d, ConstantPad3d = (_of_rank("ConstantPad", r, _ConstantPad) for r in (1, 2, 3))
ZeroPad1d, ZeroPad2d, ZeroPad3d = (_of_rank("ZeroPad", r) for r in (1, 2, 3))
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (_of_rank("ReflectionPad", r, mode="reflect") for r in (1, 2, 3))
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (
    _of_rank("ReplicationPad", r, mode="replicate") for r in (1, 2, 3)
)
CircularPad1d, CircularPad2d, CircularPad3d = (_of_rank("CircularPad", r, mode="circular") for r in (1, 2, 3))
