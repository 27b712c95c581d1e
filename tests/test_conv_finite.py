"""What the definition of convolution leaves finite stays so."""

import itertools

import numpy as np
import oracle_conv as oracle
import pytest

from cconv import functional as F


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "channels, groups, kernel, stride, pads, dilation",
    [
        (4, 1, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
        (20, 1, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
        (8, 2, (3, 3), (2, 2), ((1, 1), (2, 0)), (1, 1)),
        (6, 3, (5, 3), (1, 2), ((2, 2), (0, 1)), (1, 2)),
        (5, 5, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
        (4, 1, (1, 1), (1, 1), ((1, 0), (0, 2)), (1, 1)),
        (3, 1, (4, 4), (3, 3), ((3, 3), (3, 3)), (1, 1)),
    ],
)
def test_padding_is_not_multiplied(channels, groups, kernel, stride, pads, dilation, last, bad):
    """What the definition leaves finite stays so, by every algorithm and pass, wherever an Inf or NaN lies."""
    rng, size = np.random.default_rng(3), (7, 6)
    out, args = oracle.output_size(size, kernel, stride, pads, dilation), (stride, pads, dilation, groups)
    for dtype, (which, place) in itertools.product(
        (np.float32, np.float64), itertools.product(("x", "w", "dy"), ((0, 0), (-1, 0), (0, -1), (1, 1)))
    ):
        a = {
            "x": rng.standard_normal((2, channels, *size)),
            "w": rng.standard_normal((channels, channels // groups, *kernel)),
            "dy": rng.standard_normal((2, channels, *out)),
        }
        a = {name: value.astype(dtype) for name, value in a.items()}
        a[which][(-1, 0, *(p % n for p, n in zip(place, a[which].shape[2:], strict=True)))] = bad
        if last:
            a["x"], a["dy"] = channels_last(a["x"]), channels_last(a["dy"])
        calls = {
            "forward": lambda algo, a=a: F.conv2d(a["x"], a["w"], None, *args, algo),
            "backward_data": lambda algo, a=a: F.conv2d_backward_data(a["dy"], a["w"], size, *args, algo),
            "backward_weight": lambda algo, a=a: F.conv2d_backward_weight(a["x"], a["dy"], kernel, *args, algo),
        }
        for direction, call in calls.items():
            finite = np.isfinite(call("reference"))
            for algo in F.conv_algorithms(a["x"].shape, a["w"].shape, *args, dtype, last, direction):
                if algo != "fft":
                    np.testing.assert_array_equal(np.isfinite(call(algo)), finite, f"{algo} {direction} {which}")
