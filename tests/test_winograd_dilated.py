"""Winograd's algorithm over the phases of a dilated convolution: as test_winograd.py, for its own geometry."""

import itertools

import numpy as np
import pytest
from bits import assert_same_bits
from winograd_cases import assert_accurate, assert_spread_alike, case, channels_last, expected, passes

import cconv.functional as F
from cconv import nn
from cconv.functional.conv import prepare

ALGO = "winograd_dilated"
PADS = [((2, 2), (2, 2)), ((0, 0), (0, 0)), ((4, 4), (4, 4)), ((1, 3), (0, 2)), ((3, 0), (2, 1))]
DILATIONS = [(2, 2), (1, 2), (2, 1), (3, 2), (3, 4)]


def compare(arrays, dilation=(2, 2), groups=1):
    got = passes(*arrays, algo=ALGO, dilation=dilation, groups=groups)
    assert_accurate(got, expected(*arrays, dilation=dilation, groups=groups))


@pytest.mark.parametrize("channels", [1, 3, 16, 33, 64, 112, 256, 512])
def test_error_by_channels(channels):
    compare(case(2, channels, channels + 1, 9, 10, PADS[0], seed=channels, dilation=(2, 2)))


def test_tails():
    """Every count of output channels around the vectors of each instruction set, on both sides."""
    for ic, oc in itertools.product((7, 48), [*range(1, 20), 23, 25, 39, 47, 65, 81, 140]):
        compare(case(1, ic, oc, 7, 6, PADS[0], seed=oc, dilation=(2, 2)))


@pytest.mark.parametrize("dilation", DILATIONS)
@pytest.mark.parametrize("pads", PADS)
@pytest.mark.parametrize("taps", [3, 5])
def test_geometry(pads, dilation, taps):
    """Sizes odd and even, where phases differ in length and in how much padding they meet."""
    done = 0
    for size in itertools.product((3, 4, 5, 7, 9, 14, 17), (4, 6, 9, 11, 16)):
        options = {"stride": 1, "padding": pads, "dilation": dilation, "channels_last": True}
        try:
            fits = ALGO in F.conv_algorithms((2, 6, *size), (9, 6, taps, taps), **options)
        except ValueError:
            continue
        if fits:
            done += 1
            compare(case(2, 6, 9, *size, pads, seed=done, taps=taps, dilation=dilation), dilation)
    assert done > 1 or pads != PADS[0]


@pytest.mark.parametrize(
    "shape", [(3, 64, 64, 20, 20), (9, 32, 48, 24, 24), (2, 400, 370, 9, 9), (40, 144, 130, 12, 10)]
)
def test_schedules(shape):
    compare(case(*shape, PADS[0], dilation=(2, 2)))


@pytest.mark.parametrize("groups", [2, 3, 26])
def test_groups(groups):
    compare(case(2, 16 * groups, 5 * groups, 9, 8, PADS[0], groups=groups, dilation=(2, 2)), groups=groups)


@pytest.mark.parametrize("exponent", [-30, -18, 18, 30])
def test_scales(exponent):
    x, weight, dy, pads = case(2, 32, 24, 8, 9, PADS[0], dilation=(2, 2))
    right = expected(x, weight, dy, pads, dilation=(2, 2))
    scale = np.float32(10.0**exponent)
    got = passes(x * scale, weight, dy * scale, pads, algo=ALGO, dilation=(2, 2))
    for name in ("forward", "backward_data"):
        assert np.linalg.norm(got[name] / 10.0**exponent - right[name]) <= 2e-5 * np.linalg.norm(right[name])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("pads", PADS[:3])
def test_not_finite(value, pads):
    """Inf and NaN reach exactly what they reach in direct convolution, and never padding."""
    x, weight, dy, pads = case(2, 16, 20, 9, 8, pads, dilation=(2, 2))
    for array, at in [(x, (0, 1, 0, 0)), (x, (1, 2, 4, 3)), (x, (1, 0, 8, 7)), (dy, (0, 1, 0, 0)), (dy, (1, 2, 0, 1)),
                      (dy, (0, 3, -1, -1)), (weight, (1, 2, 0, 0)), (weight, (0, 1, 1, 1))]:  # fmt: skip
        before, array[at] = array[at], value
        got, right = (passes(x, weight, dy, pads, algo=a, dilation=(2, 2)) for a in (ALGO, "reference"))
        array[at] = before
        assert_spread_alike(got, right)


def test_epilogue_and_residual():
    x, weight, dy, pads = case(2, 16, 35, 9, 7, PADS[0], dilation=(2, 2))
    rng = np.random.default_rng(1)
    bias, scale = rng.standard_normal((2, 35)).astype(np.float32)
    residual, into = (channels_last(rng.standard_normal(a.shape, np.float32)) for a in (dy, x))
    by = {a: prepare(x.shape, weight.shape, 1, 2, 2, algo=a, channels_last=True) for a in (ALGO, "direct")}
    forward = {a: g.forward(x, weight, bias, residual, True, scale) for a, g in by.items()}
    np.testing.assert_allclose(forward[ALGO], forward["direct"], rtol=1e-4, atol=1e-5)
    data = {a: g.backward_data(dy, weight, into) for a, g in by.items()}
    np.testing.assert_allclose(data[ALGO], data["direct"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 16, 24, 9, 9), (6, 64, 64, 18, 18), (3, 256, 520, 7, 6), (5, 208, 96, 40, 40)])
def test_same_bits_for_any_thread_count(shape):
    arrays = case(*shape, PADS[0], dilation=(2, 2))
    assert_same_bits(lambda: list(passes(*arrays, algo=ALGO, dilation=(2, 2)).values()))


def test_supported_geometry():
    def listed(shape=(2, 16, 9, 9), channels=16, kernel=3, **options):
        options = {"padding": 2, "dilation": 2, "channels_last": True, **options}
        return ALGO in F.conv_algorithms(shape, (16, channels, kernel, kernel), **options)

    assert listed() and listed(padding=0) and listed(padding=4) and listed(kernel=5) and listed(dilation=(1, 2))
    assert not listed(dilation=1) and not listed(stride=2) and not listed(padding=5) and not listed(dtype=np.float64)
    assert not listed(channels=1, groups=16) and not listed(dilation=6, padding=3) and not listed(kernel=1)
    with pytest.raises(ValueError, match="algo"):
        F.conv2d(np.zeros((1, 8, 9, 9), np.float32), np.zeros((8, 8, 3, 3), np.float32), algo=ALGO)


def test_phases_of_one_pixel():
    """As many outputs as the dilation: the order of what is read and written is that of the image, not of a phase."""
    pads, dilation = ((4, 2), (0, 0)), (3, 1)
    for channels in (1, 4):
        arrays = case(1, channels, 5, 3, 3, pads, dilation=dilation)
        compare(arrays, dilation)
        assert ALGO not in prepare(arrays[0].shape, arrays[1].shape, 1, pads, dilation).algorithms("forward")


def test_auto_takes_it_in_a_layer():
    layer = nn.Conv2d(32, 32, 3, padding=2, dilation=2, rng=0)
    x = np.random.default_rng(0).standard_normal((4, 32, 16, 16)).astype(np.float32)
    y, backward = layer.forward(x, True)
    dx = backward(y)
    assert {geometry.algorithm(phase) for phase, geometry in layer.passes().items()} == {ALGO}
    exact = nn.Conv2d(32, 32, 3, padding=2, dilation=2, rng=0, algo="direct")
    right, right_backward = exact.forward(x, True)
    np.testing.assert_allclose(y, right, atol=1e-5)
    np.testing.assert_allclose(dx, right_backward(y), atol=1e-4)
    np.testing.assert_allclose(layer.weight.grad, exact.weight.grad, rtol=1e-3, atol=1e-2)
