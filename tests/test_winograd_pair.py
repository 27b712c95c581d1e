"""Winograd's form for images of 2x2 pixels, each of which is a tile of its own."""

from functools import partial

import numpy as np
import pytest
import winograd_cases
from bits import assert_same_bits
from winograd_cases import BOUND, assert_accurate, assert_spread_alike, case, channels_last, error, expected

from cconv import nn
from cconv.functional.conv import prepare

passes = partial(winograd_cases.passes, algo="winograd")


@pytest.mark.parametrize("channels", [1, 2, 7, 8, 15, 16, 17, 33, 48, 65, 130, 300, 512])
def test_error_by_channels(channels):
    arrays = case(3, channels, channels, 2, 2, seed=channels)
    got, right = passes(*arrays), expected(*arrays)
    for name in BOUND:
        assert error(got[name], right[name]) <= 2e-6, name


def test_tails():
    counts = [*range(1, 20), 23, 25, 39, 40, 47, 65, 79, 81]
    for ic, oc in [*zip(counts, reversed(counts), strict=True), (1, 70), (70, 1), (140, 5), (5, 140)]:
        arrays = case(5, ic, oc, 2, 2, seed=ic)
        assert_accurate(passes(*arrays), expected(*arrays))


SHAPES = [(1, 16, 16), (63, 512, 500), (400, 20, 30), (210, 340, 190), (70, 64, 64), (2, 400, 400)]


@pytest.mark.parametrize("shape", SHAPES)
def test_schedules(shape):
    """Few and many images and channels: each is cut in another way, which threads do not change."""
    arrays = case(*shape, 2, 2)
    assert_accurate(passes(*arrays), expected(*arrays))
    assert_same_bits(lambda: list(passes(*arrays).values()))


def test_other_windows_of_such_images_are_the_usual_ones():
    for pads in [((1, 1), (0, 2)), ((2, 0), (1, 1)), ((2, 2), (2, 2)), ((1, 2), (2, 1)), ((1, 0), (0, 1))]:
        arrays = case(4, 18, 20, 2, 2, pads)
        assert_accurate(passes(*arrays), expected(*arrays))


def test_whole_numbers_are_exact():
    """Sums of two are all that happens to them on the way."""
    rng = np.random.default_rng(0)
    x, weight, dy = (rng.integers(-3, 4, s).astype(np.float32) for s in ((9, 40, 2, 2), (24, 40, 3, 3), (9, 24, 2, 2)))
    arrays = channels_last(x), weight, channels_last(dy), winograd_cases.SAME
    got, right = passes(*arrays), expected(*arrays)
    for name in BOUND:
        np.testing.assert_array_equal(got[name], right[name])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
def test_not_finite(value):
    """Inf, NaN and what overflows on the way reach what they reach in direct convolution."""
    x, weight, dy, pads = case(3, 20, 24, 2, 2)
    for array, place in [(x, (0, 1)), (dy, (2, 3)), (weight, (1, 2))]:
        for at in np.ndindex(array.shape[2:]):
            before, array[(*place, *at)] = array[(*place, *at)], value
            got, right = passes(x, weight, dy, pads), passes(x, weight, dy, pads, algo="direct")
            array[(*place, *at)] = before
            if np.isfinite(value):
                for name in BOUND:
                    np.testing.assert_array_equal(np.isfinite(got[name]), np.isfinite(right[name]))
            else:
                assert_spread_alike(got, right)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_scales(scale):
    x, weight, dy, pads = case(6, 64, 48, 2, 2)
    right = expected(x, weight, dy, pads)
    x, dy = x * np.float32(scale), dy * np.float32(scale)
    got, exact = passes(x, weight, dy, pads), passes(x, weight, dy, pads, algo="direct")
    for name in ("forward", "backward_data"):
        assert error(got[name] / scale, right[name]) <= BOUND[name]
    np.testing.assert_array_equal(np.isfinite(got["backward_weight"]), np.isfinite(exact["backward_weight"]))


def test_epilogue():
    rng = np.random.default_rng(3)
    layer = nn.Conv2d(20, 36, 3, padding=1, rng=0, algo="winograd")
    x, residual = (channels_last(rng.standard_normal((7, c, 2, 2), np.float32)) for c in (20, 36))
    scale, shift = rng.standard_normal((2, 36), np.float32)
    got = layer.infer(x, scale, shift, residual, True)
    other = nn.Conv2d(20, 36, 3, padding=1, rng=0, algo="reference")
    np.testing.assert_allclose(got, other.infer(x, scale, shift, residual, True), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(4, 6, 3), (16, 16, 4), (24, 17, 2), (16, 16, 37)])
def test_groups(inputs, outputs, groups):
    arrays = case(9, groups * inputs, groups * outputs, 2, 2, groups=groups)
    assert_accurate(passes(*arrays, groups=groups), expected(*arrays, groups=groups))
    assert_same_bits(lambda: list(passes(*arrays, groups=groups).values()))


@pytest.mark.parametrize(("ic", "oc", "wanted"), [(16, 16, "winograd"), (512, 300, "winograd"), (15, 64, "direct")])
def test_auto_takes_it_from_sixteen_channels_on(ic, oc, wanted):
    geometry = prepare((1, ic, 2, 2), (oc, ic, 3, 3), 1, 1, 1, 1, "auto", channels_last=True)
    assert {geometry.algorithm(name) for name in BOUND} == {wanted}
