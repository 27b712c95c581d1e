"""Pooling in plain NumPy, float64, one window at a time: what tests compare with."""

import itertools

import numpy as np


def output_size(n, kernel, stride, pads, dilation, ceil_mode):
    free = n + sum(pads) - dilation * (kernel - 1) - 1
    size = (-(-free // stride) if ceil_mode else free // stride) + 1
    return size - 1 if ceil_mode and (size - 1) * stride >= n + pads[0] else size


def sliding(spatial, kernel, stride, pads, dilation, ceil_mode=False):
    """One list an axis; one window an entry: (positions inside the input, how many inside the padded input)."""
    axes = []
    for n, k, s, pad, d in zip(spatial, kernel, stride, pads, dilation, strict=True):
        starts = [o * s - pad[0] for o in range(output_size(n, k, s, pad, d, ceil_mode))]
        axes.append(
            [
                ([p for p in range(a, a + k * d, d) if 0 <= p < n], sum(p < n + pad[1] for p in range(a, a + k * d, d)))
                for a in starts
            ]
        )
    return axes


def adaptive(spatial, out):
    return [
        [(list(range(o * n // m, -(-(o + 1) * n // m))), -(-(o + 1) * n // m) - o * n // m) for o in range(m)]
        for n, m in zip(spatial, out, strict=True)
    ]


def _windows(axes):
    for o in itertools.product(*[range(len(axis)) for axis in axes]):
        chosen = [axis[i] for axis, i in zip(axes, o, strict=True)]
        yield o, list(itertools.product(*[c[0] for c in chosen])), int(np.prod([c[1] for c in chosen]))


def maximum(x, axes):
    """(y, flat indices in the input plane): first of equals, NaN above all."""
    spatial = x.shape[2:]
    y = np.empty(x.shape[:2] + tuple(map(len, axes)))
    indices = np.empty(y.shape, np.int64)
    for n, c in np.ndindex(x.shape[:2]):
        for o, window, _ in _windows(axes):
            best = window[0]
            for p in window[1:]:
                old, new = x[n, c][best], x[n, c][p]
                if not np.isnan(old) and (np.isnan(new) or new > old):
                    best = p
            y[(n, c, *o)] = x[n, c][best]
            indices[(n, c, *o)] = np.ravel_multi_index(best, spatial)
    return y, indices


def scatter(dy, indices, input_size):
    dx = np.zeros(dy.shape[:2] + (int(np.prod(input_size)),))
    for n, c in np.ndindex(dy.shape[:2]):
        np.add.at(dx[n, c], indices[n, c].ravel(), dy[n, c].ravel())
    return dx.reshape(dy.shape[:2] + tuple(input_size))


def _divisor(window, area, count_include_pad, divisor):
    return divisor or (area if count_include_pad else len(window))


def average(x, axes, count_include_pad=True, divisor=None):
    y = np.empty(x.shape[:2] + tuple(map(len, axes)))
    for o, window, area in _windows(axes):
        total = sum(x[(slice(None), slice(None), *p)].astype(np.float64) for p in window)
        y[(slice(None), slice(None), *o)] = total / _divisor(window, area, count_include_pad, divisor)
    return y


def average_backward(dy, input_size, axes, count_include_pad=True, divisor=None):
    dx = np.zeros(dy.shape[:2] + tuple(input_size))
    for o, window, area in _windows(axes):
        share = dy[(slice(None), slice(None), *o)] / _divisor(window, area, count_include_pad, divisor)
        for p in window:
            dx[(slice(None), slice(None), *p)] += share
    return dx
