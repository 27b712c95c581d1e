"""Convolution in float64 NumPy, straight from the definition: pad, slice by tap, multiply, add."""

import itertools

import numpy as np


def _taps(x_padded, kernel, stride, dilation, output):
    """(tap, view of the padded input that the tap reads for every output position)."""
    for tap in itertools.product(*map(range, kernel)):
        index = tuple(
            slice(k * d, k * d + (o - 1) * s + 1, s) for k, d, s, o in zip(tap, dilation, stride, output, strict=True)
        )
        yield tap, x_padded[(slice(None), slice(None), *index)]


def output_size(size, kernel, stride, pads, dilation):
    return tuple(
        (n + a + b - d * (k - 1) - 1) // s + 1
        for n, k, s, (a, b), d in zip(size, kernel, stride, pads, dilation, strict=True)
    )


def _padded(x, pads):
    return np.pad(x.astype(np.float64), ((0, 0), (0, 0), *pads))


def forward(x, w, b, stride, pads, dilation, groups):
    output = output_size(x.shape[2:], w.shape[2:], stride, pads, dilation)
    icg, ocg = w.shape[1], w.shape[0] // groups
    y = np.zeros((x.shape[0], w.shape[0], *output))
    for tap, view in _taps(_padded(x, pads), w.shape[2:], stride, dilation, output):
        for g in range(groups):
            taken = w[(slice(g * ocg, (g + 1) * ocg), slice(None), *tap)].astype(np.float64)
            y[:, g * ocg : (g + 1) * ocg] += np.einsum("oi,ni...->no...", taken, view[:, g * icg : (g + 1) * icg])
    return y if b is None else y + b.reshape(-1, *(1,) * (x.ndim - 2))


def backward_data(dy, w, size, stride, pads, dilation, groups):
    icg, ocg = w.shape[1], w.shape[0] // groups
    dx = _padded(np.zeros((dy.shape[0], icg * groups, *size)), pads)
    for tap, view in _taps(dx, w.shape[2:], stride, dilation, dy.shape[2:]):
        for g in range(groups):
            taken = w[(slice(g * ocg, (g + 1) * ocg), slice(None), *tap)].astype(np.float64)
            part = dy[:, g * ocg : (g + 1) * ocg].astype(np.float64)
            view[:, g * icg : (g + 1) * icg] += np.einsum("oi,no...->ni...", taken, part)
    return dx[(slice(None), slice(None), *(slice(a, a + n) for (a, _), n in zip(pads, size, strict=True)))]


def backward_weight(x, dy, kernel, stride, pads, dilation, groups):
    icg, ocg = x.shape[1] // groups, dy.shape[1] // groups
    dw = np.zeros((dy.shape[1], icg, *kernel))
    for tap, view in _taps(_padded(x, pads), kernel, stride, dilation, dy.shape[2:]):
        for g in range(groups):
            part = dy[:, g * ocg : (g + 1) * ocg].astype(np.float64)
            seen = view[:, g * icg : (g + 1) * icg]
            axes = (0, *range(2, x.ndim))
            dw[(slice(g * ocg, (g + 1) * ocg), slice(None), *tap)] = np.tensordot(part, seen, (axes, axes))
    return dw


def im2col(x, kernel, stride, pads, dilation):
    output = output_size(x.shape[2:], kernel, stride, pads, dilation)
    cols = [view for _, view in _taps(_padded(x, pads), kernel, stride, dilation, output)]
    return np.stack(cols, 2).reshape(x.shape[0], -1, int(np.prod(output)))
