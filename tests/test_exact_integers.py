"""Sums of sparse small integers are exact in any order, so every algorithm must give them bit by bit (oneDNN's method).

Shapes are those of the networks' layers with fewer images, and random ones: tails, uneven padding, groups, dilation,
strides. CCONV_EXACT=N takes N times as many. Winograd's algorithm rounds: its error is bounded in the L2 norm.
"""

import os

import numpy as np
import pytest

import cconv
from cconv import _conv, _gemm
from cconv import functional as F

SCALE = max(1, int(os.environ.get("CCONV_EXACT", "1")))
ROUNDING = {"winograd": {"forward": 2e-5, "backward_data": 2e-5, "backward_weight": 1e-4}}
ROUNDING |= dict.fromkeys(("winograd_strided", "winograd_dilated", "fft", "blocks"), ROUNDING["winograd"])

# (channels, out channels, size, kernel, stride, padding, groups)
NETWORKS = """
1 6 28 5 1 2 1     6 16 14 5 1 0 1      16 120 5 5 1 0 1
3 96 63 11 4 0 1   96 256 13 5 1 2 2    256 384 13 3 1 1 1   384 384 13 3 1 1 2   384 256 13 3 1 1 2   3 64 63 11 4 2 1
3 64 32 3 1 1 1    64 64 28 3 1 1 1     64 128 28 3 1 1 1    128 128 14 3 1 1 1   256 512 7 3 1 1 1    512 512 7 3 1 1 1
96 96 27 1 1 0 1   256 256 13 1 1 0 1   384 10 6 1 1 0 1     192 160 8 1 1 0 1    160 96 8 1 1 0 1
3 64 56 7 2 3 1    64 192 14 3 1 1 1    192 96 14 1 1 0 1    96 208 14 3 1 1 1    16 48 14 5 1 2 1     832 128 7 1 1 0 1
64 256 14 1 1 0 1  256 64 14 1 1 0 1    256 512 14 1 2 0 1   128 128 14 3 2 1 1   512 2048 7 1 1 0 1   2048 512 7 1 1 0 1
16 16 32 3 1 1 1   16 32 32 3 2 1 1     32 32 16 3 1 1 1     32 64 16 1 2 0 1     64 64 8 3 1 1 1
32 32 28 3 1 1 32  64 64 28 3 2 1 64    128 128 14 3 1 1 128 512 512 7 3 1 1 512  240 240 14 5 2 2 240 116 116 14 3 1 1 116
"""


def integers(rng, shape, dtype):
    """Two values in three are 0, the others -3 .. 3; memory for it is taken in one pass."""
    values = rng.integers(-3, 4, shape, dtype=np.int8)
    values[rng.integers(0, 3, shape, dtype=np.int8) > 0] = 0
    return values.astype(dtype)


def columns(x, kernel, stride, pads, dilation, output):
    """(N, groups of channels apart) windows of the padded x as a view (N, C, KH, KW, OH, OW), in float64."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *pads))
    n, c, h, w = padded.strides
    shape = (*x.shape[:2], *kernel, *output)
    strides = (n, c, h * dilation[0], w * dilation[1], h * stride[0], w * stride[1])
    return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False), padded


def oracle(x, w, dy_of, kernel, stride, pads, dilation, groups):
    """(y, dy, dx, dw) by matrix products in float64."""
    n, channels, *size = x.shape
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    output = [(s + sum(p) - r) // t + 1 for s, p, r, t in zip(size, pads, reach, stride, strict=True)]
    windows, padded = columns(x, kernel, stride, pads, dilation, output)
    windows = windows.reshape(n, groups, channels // groups, *kernel, *output)
    matrix = windows.transpose(1, 2, 3, 4, 0, 5, 6).reshape(groups, -1, n * output[0] * output[1])
    weights = w.astype(np.float64).reshape(groups, w.shape[0] // groups, -1)
    y = (weights @ matrix).reshape(w.shape[0], n, *output).swapaxes(0, 1)
    dy = dy_of(y.shape)
    gradient = dy.astype(np.float64).swapaxes(0, 1).reshape(groups, w.shape[0] // groups, -1)
    dw = (gradient @ matrix.swapaxes(1, 2)).reshape(w.shape)
    spread = (weights.swapaxes(1, 2) @ gradient).reshape(channels, *kernel, n, *output)
    dx = np.zeros_like(padded)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dilation[0], i * dilation[0] + (output[0] - 1) * stride[0] + 1, stride[0])
            cols = slice(j * dilation[1], j * dilation[1] + (output[1] - 1) * stride[1] + 1, stride[1])
            dx[:, :, rows, cols] += spread[:, i, j].swapaxes(0, 1)
    (top, _), (left, _) = pads
    return y, dy, dx[:, :, top : top + size[0], left : left + size[1]], dw


def judge(got, expected, algo, direction, case):
    bound = ROUNDING.get(algo, {}).get(direction, 0)
    if bound:
        bound = bound if got.dtype == np.float32 else 1e-12
        assert np.linalg.norm(got - expected) <= bound * max(np.linalg.norm(expected), 1e-30), (algo, direction, case)
    else:
        assert np.array_equal(got, expected), (algo, direction, case)


def check(case, rng, dtype, counts, algorithms=None):
    """All passes by all algorithms of a case; counts outputs and how many of them are not 0."""
    n, channels, out_channels, size, kernel, stride, pads, dilation, groups, last = case
    x = integers(rng, (n, channels, *size), dtype)
    w = integers(rng, (out_channels, channels // groups, *kernel), dtype)
    y, dy, dx, dw = oracle(x, w, lambda s: integers(rng, s, dtype), kernel, stride, pads, dilation, groups)
    assert max(np.abs(a).max(initial=0) for a in (y, dx, dw)) < 2**24
    if last:
        x, dy = (np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) for a in (x, dy))
    order = _conv.memory_order(x) == 1
    geometry = (stride, pads, dilation, groups)
    for direction, expected, call in (
        ("forward", y, lambda algo: F.conv2d(x, w, None, *geometry, algo)),
        ("backward_data", dx, lambda algo: F.conv2d_backward_data(dy, w, size, *geometry, algo)),
        ("backward_weight", dw, lambda algo: F.conv2d_backward_weight(x, dy, kernel, *geometry, algo)),
    ):
        names = F.conv_algorithms(x.shape, w.shape, *geometry, dtype, order, direction)
        for algo in ("auto", *names):
            if algo in ("reference", "fft") or (algorithms and algo not in algorithms):
                continue  # slow; the smaller tests have it
            taken = names[0] if algo == "auto" else algo
            judge(call(algo), expected, "winograd" if algo == "auto" else taken, direction, case)
            counts[algo] = counts.get(algo, 0) + 1
            if algo == "blocks":  # whose blocks Winograd's algorithm may have convolved
                cconv.set_exact(True)
                try:
                    judge(call(algo), expected, "exact blocks", direction, case)
                finally:
                    cconv.set_exact(False)
        counts["outputs"] = counts.get("outputs", 0) + expected.size
        counts["nonzero"] = counts.get("nonzero", 0) + np.count_nonzero(expected)


def network_cases():
    words = NETWORKS.split()
    for i in range(0, len(words), 7):
        c, o, size, k, s, p, g = map(int, words[i : i + 7])
        for n, last in ((1, True), (2, True), (1, False)):
            yield (n, c, o, (size, size), (k, k), (s, s), ((p, p),) * 2, (1, 1), g, last)


def random_cases(rng, count):
    for _ in range(count):
        pick = lambda *values: int(rng.choice(values))  # noqa: E731
        groups = pick(1, 1, 1, 2, 3, 5)
        channels, out_channels = (groups * int(rng.integers(1, 20)) for _ in range(2))
        if rng.random() < 0.2:
            channels = groups = out_channels = int(rng.integers(1, 50))
        kernel = (pick(1, 2, 3, 3, 5, 7), pick(1, 2, 3, 3, 5, 7)) if rng.random() < 0.5 else (pick(1, 3, 5),) * 2
        dilation = (pick(1, 1, 1, 2, 3),) * 2
        stride = (pick(1, 1, 1, 2, 3), pick(1, 1, 1, 2, 4)) if rng.random() < 0.5 else (pick(1, 1, 2),) * 2
        pads = tuple((int(rng.integers(0, k + 1)), int(rng.integers(0, k + 1))) for k in kernel)
        size = tuple(
            max(int(rng.integers(1, 19)), d * (k - 1) + 1 - a - b)
            for k, d, (a, b) in zip(kernel, dilation, pads, strict=True)
        )
        yield (
            int(rng.integers(1, 4)), channels, out_channels, size, kernel, stride, pads, dilation, groups,
            bool(rng.random() < 0.7),
        )  # fmt: skip


def test_layers_of_networks():
    rng, counts = np.random.default_rng(0), {}
    for case in network_cases():
        check(case, rng, np.float32, counts)
    assert counts["nonzero"] > counts["outputs"] / 2
    assert min(counts[algo] for algo in ("im2col", "direct", "winograd", "pointwise")) > 20


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_shapes(dtype):
    rng, counts = np.random.default_rng(1), {}
    for case in random_cases(rng, (700 if dtype == np.float32 else 200) * SCALE):
        check(case, rng, dtype, counts)
    assert counts["nonzero"] > counts["outputs"] / 4
    assert counts["im2col"] > 500


def test_products():
    rng, nonzero, total = np.random.default_rng(2), 0, 0
    for _ in range(600 * SCALE):
        m, n, k = (int(rng.choice([1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 97, 130])) for _ in range(3))
        trans_a, trans_b = bool(rng.integers(2)), bool(rng.integers(2))
        a = integers(rng, (k, m) if trans_a else (m, k), np.float32)
        b = integers(rng, (n, k) if trans_b else (k, n), np.float32)
        expected = (a.T if trans_a else a).astype(np.float64) @ (b.T if trans_b else b)
        np.testing.assert_array_equal(_gemm.gemm(a, b, trans_a, trans_b), expected)
        nonzero, total = nonzero + np.count_nonzero(expected), total + expected.size
    assert nonzero > total / 4
