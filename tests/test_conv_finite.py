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


PATTERNS = {
    "one NaN": lambda rng, a: np.put(a, rng.integers(a.size), np.nan),
    "one Inf": lambda rng, a: np.put(a, rng.integers(a.size), -np.inf),
    "some of each": lambda rng, a: np.put(a, rng.integers(a.size, size=9), [np.nan, np.inf, -np.inf] * 3),
    "half Inf": lambda rng, a: np.put(a, np.flatnonzero(rng.random(a.size) < 0.5), np.inf),
    "a NaN row": lambda rng, a: a[:1].fill(np.nan),
    "all Inf": lambda rng, a: a.fill(np.inf),
    "all NaN": lambda rng, a: a.fill(np.nan),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("channels, groups, kernel, stride", [(20, 1, 3, 1), (6, 2, 3, 2), (16, 1, 5, 1), (6, 6, 3, 1)])
def test_specials_are_those_of_the_reference(pattern, channels, groups, kernel, stride):
    """NaN, Inf and -Inf each stand where the definition has them, in every pass, with bias; the rest is as close as ever."""
    rng, pad = np.random.default_rng(5), kernel // 2
    options = {"stride": stride, "padding": pad, "groups": groups}
    for dtype, last in itertools.product((np.float32, np.float64), (False, True)):
        a = {
            "x": rng.standard_normal((2, channels, 7, 6)),
            "weight": rng.standard_normal((channels, channels // groups, kernel, kernel)),
            "dy": rng.standard_normal((2, channels, -(-7 // stride), -(-6 // stride))),
        }
        a = {name: value.astype(dtype) for name, value in a.items()}
        for which in (*itertools.combinations(a, 1), *itertools.combinations(a, 2)):
            b = {name: value.copy() for name, value in a.items()} | {"bias": a["x"][0, :, 0, 0]}
            for name in which:
                PATTERNS[pattern](rng, b[name])
            if last:
                b["x"], b["dy"] = channels_last(b["x"]), channels_last(b["dy"])
            calls = {
                "forward": lambda algo, b=b: F.conv2d(b["x"], b["weight"], b["bias"], algo=algo, **options),
                "backward_data": lambda algo, b=b: F.conv2d_backward_data(
                    b["dy"], b["weight"], (7, 6), algo=algo, **options
                ),
                "backward_weight": lambda algo, b=b: F.conv2d_backward_weight(
                    b["x"], b["dy"], kernel, algo=algo, **options
                ),
            }
            for direction, call in calls.items():
                expected = call("reference")
                names = F.conv_algorithms(
                    b["x"].shape, b["weight"].shape, dtype=dtype, channels_last=last, direction=direction, **options
                )
                for algo in set(names) - {"fft"}:
                    np.testing.assert_allclose(
                        call(algo), expected, rtol=1e-4, atol=1e-3, err_msg=f"{algo} {direction} {which}"
                    )
