"""Patches as the columns of a matrix, and back: torch's unfold and fold.

Chellapilla, Puri & Simard, "High performance convolutional neural networks for document processing", 2006.
"""

import numpy as np

from cconv import _conv
from cconv.functional._arguments import activation, floats, output_sizes, paddings, spatial
from cconv.functional._out import with_out

__all__ = ["im2col", "col2im"]


@with_out
def im2col(x, kernel_size, stride=1, padding=0, dilation=1, *, out=None):
    """The patch under every window position as a column.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), or with one or three spatial axes; float32 or float64
    kernel_size, stride, dilation : int or one int an axis
    padding : as in `conv2d`

    Returns
    -------
    cols : ndarray, shape (N, C*KH*KW, OH*OW)
        Row (c, kh, kw), column (oh, ow): `x[n, c, oh*stride + kh*dilation - before, ...]`, 0 in the padding.

    Raises
    ------
    ValueError, TypeError
        Naming the argument and the shapes.
    """
    x = floats(x, "x")
    if not 3 <= x.ndim <= 5:
        raise ValueError(f"x must have shape (N, C, spatial...) with 1 to 3 spatial axes, got {x.shape}")
    x, _ = activation(x, "x", x.ndim)
    return _conv.im2col(x, *_window(x.shape[2:], kernel_size, stride, padding, dilation, "im2col"), out)


@with_out
def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1, *, out=None):
    """Add every column back to the places its patch came from: the transpose of `im2col`.

    Parameters
    ----------
    cols : ndarray, shape (N, C*KH*KW, OH*OW), float32 or float64
    output_size : int or (H, W)
        Spatial size of the result. The number of axes is that of the first of `output_size`,
        `kernel_size`, `stride`, `dilation` and `padding` that is a sequence, else two.
    others : as in `im2col`

    Returns
    -------
    x : ndarray, shape (N, C, H, W)

    Raises
    ------
    ValueError
        If cols has not the shape that `im2col` of the result gives.
    """
    cols = floats(cols, "cols", 3)
    lengths = [len(v) for v in (output_size, kernel_size, stride, dilation, padding) if _is_sequence(v)]
    rank = lengths[0] if lengths else 2
    if not 1 <= rank <= 3:
        raise ValueError(f"output_size must have 1 to 3 axes, got {output_size!r}")
    size = spatial(output_size, rank, "output_size", minimum=0)
    window = _window(size, kernel_size, stride, padding, dilation, "col2im")
    taps = int(np.prod([int(k) for k in window[0]], dtype=object))
    if cols.shape[1] % taps != 0:
        raise ValueError(f"cols must have a multiple of {taps} rows for kernel_size {window[0]}, got {cols.shape}")
    shape = (cols.shape[0], cols.shape[1] // taps, *size)
    return _conv.col2im(np.ascontiguousarray(cols), shape, *window, out)


def _is_sequence(value):
    return isinstance(value, (tuple, list))


def _window(size, kernel_size, stride, padding, dilation, what):
    rank = len(size)
    kernel_size = spatial(kernel_size, rank, "kernel_size")
    stride = spatial(stride, rank, "stride")
    dilation = spatial(dilation, rank, "dilation")
    pads = paddings(padding, rank, size, kernel_size, stride, dilation)
    output_sizes(size, kernel_size, stride, pads, dilation, what)
    return kernel_size, stride, pads, dilation
