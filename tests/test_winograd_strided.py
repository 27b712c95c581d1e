"""Winograd's algorithm over the phases of a 3x3 convolution of stride 2: as test_winograd.py, for its own geometry."""

import itertools
from functools import partial

import numpy as np
import pytest
import winograd_cases
from bits import assert_same_bits
from winograd_cases import assert_accurate, assert_spread_alike, channels_last

import cconv.functional as F
from cconv import nn, optim
from cconv.functional.conv import prepare

PADS = [((1, 1), (1, 1)), ((0, 0), (0, 0)), ((2, 2), (2, 2)), ((0, 1), (0, 1)), ((1, 0), (2, 1)), ((0, 2), (1, 0))]
ALGO = "winograd_strided"


case = partial(winograd_cases.case, stride=2)
passes = partial(winograd_cases.passes, algo=ALGO, stride=2)
expected = partial(winograd_cases.expected, stride=2)


@pytest.mark.parametrize("channels", [16, 32, 48, 64, 112, 256, 512])
def test_error_by_channels(channels):
    arrays = case(2, channels, channels, 9, 10, seed=channels)
    assert_accurate(passes(*arrays), expected(*arrays))


def test_tails():
    """Every count of output channels around the vectors of each instruction set, on both sides."""
    for ic, oc in itertools.product((16, 48), [*range(1, 20), 23, 25, 39, 40, 47, 65, 79, 81, 140]):
        arrays = case(1, ic, oc, 7, 6, seed=oc)
        assert_accurate(passes(*arrays), expected(*arrays))


@pytest.mark.parametrize("pads", PADS)
def test_geometry(pads):
    """Sizes odd and even, where phases differ in length and in what they begin with."""
    for h, w in itertools.product((1, 2, 3, 4, 5, 8, 11, 16), (1, 3, 4, 6, 9, 17)):
        if h + sum(pads[0]) >= 3 and w + sum(pads[1]) >= 3:
            arrays = case(2, 16, 18, h, w, pads, seed=h * 16 + w)
            assert_accurate(passes(*arrays), expected(*arrays))


@pytest.mark.parametrize(
    "shape", [(3, 64, 64, 20, 20), (9, 32, 48, 24, 24), (2, 400, 370, 9, 9), (40, 144, 130, 12, 10)]
)
def test_schedules(shape):
    """Many tiles and few channels, few tiles and many channels: each is cut in another way."""
    arrays = case(*shape)
    assert_accurate(passes(*arrays), expected(*arrays))


@pytest.mark.parametrize("groups", [2, 3, 26])
def test_groups(groups):
    arrays = case(2, 16 * groups, 5 * groups, 9, 8, groups=groups)
    assert_accurate(passes(*arrays, groups=groups), expected(*arrays, groups=groups))


@pytest.mark.parametrize("exponent", [-30, -18, 0, 18, 30])
def test_scales(exponent):
    """As accurate as direct convolution wherever that neither overflows nor reaches the denormals."""
    x, weight, dy, pads = case(2, 32, 24, 8, 9)
    right = expected(x, weight, dy, pads)
    got = passes(x * np.float32(10.0**exponent), weight, dy * np.float32(10.0**exponent), pads)
    for name in ("forward", "backward_data"):
        norm = np.linalg.norm(right[name])
        assert np.linalg.norm(got[name] / 10.0**exponent - right[name]) <= 2e-5 * norm


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("pads", PADS[:2])
def test_not_finite(value, pads):
    """Inf and NaN reach exactly what they reach in direct convolution."""
    x, weight, dy, pads = case(2, 16, 20, 9, 8, pads)
    for array, at in [(x, (0, 1, 0, 0)), (x, (1, 2, 4, 3)), (x, (1, 0, 8, 7)), (x, (0, 0, 3, 5)), (dy, (0, 1, 2, 2)),
                      (dy, (1, 2, 0, 1)), (weight, (1, 2, 0, 0)), (weight, (0, 1, 1, 1)), (weight, (0, 1, 1, 2))]:  # fmt: skip
        before, array[at] = array[at], value
        got, right = passes(x, weight, dy, pads), passes(x, weight, dy, pads, algo="direct")
        array[at] = before
        assert_spread_alike(got, right)


def test_intermediate_overflow():
    """3e38 fits, five times that does not: no output may turn Inf that direct convolution leaves finite."""
    x = channels_last(np.full((1, 16, 8, 8), 3e38, np.float32))
    weight = np.zeros((2, 16, 3, 3), np.float32)
    weight[:, 0, 1, 1] = 1, -0.5
    y = F.conv2d(x, weight, stride=2, padding=1, algo=ALGO)
    np.testing.assert_array_equal(y[0, 0], x[0, 0, ::2, ::2])
    np.testing.assert_array_equal(y[0, 1], x[0, 0, ::2, ::2] * np.float32(-0.5))


def test_epilogue_and_residual():
    x, weight, dy, pads = case(2, 16, 35, 9, 7)
    rng = np.random.default_rng(1)
    bias, scale = rng.standard_normal((2, 35)).astype(np.float32)
    residual, into = (
        channels_last(rng.standard_normal(dy.shape, np.float32)),
        channels_last(rng.standard_normal(x.shape, np.float32)),
    )
    by = {a: prepare(x.shape, weight.shape, 2, 1, algo=a, channels_last=True) for a in (ALGO, "direct")}
    forward = {a: g.forward(x, weight, bias, residual, True, scale) for a, g in by.items()}
    np.testing.assert_allclose(forward[ALGO], forward["direct"], rtol=1e-4, atol=1e-5)
    data = {a: g.backward_data(dy, weight, into) for a, g in by.items()}
    np.testing.assert_allclose(data[ALGO], data["direct"], rtol=1e-4, atol=1e-5)


def test_zeros_stay_zero():
    arrays = case(1, 16, 16, 8, 8)
    for got in passes(*(a * np.float32(0) for a in arrays[:3]), arrays[3]).values():
        assert not got.any()


@pytest.mark.parametrize(
    "shape", [(2, 16, 24, 9, 9), (6, 64, 64, 18, 18), (3, 256, 520, 7, 6), (2, 400, 400, 8, 8), (5, 208, 96, 40, 40)]
)
def test_same_bits_for_any_thread_count(shape):
    arrays = case(*shape)
    assert_same_bits(lambda: list(passes(*arrays).values()))


def test_supported_geometry():
    def listed(channels=16, kernel=3, **options):
        options = {"stride": 2, "padding": 1, "channels_last": True, **options}
        return ALGO in F.conv_algorithms((2, 16, 9, 9), (16, channels, kernel, kernel), **options)

    assert listed() and listed(padding=2) and listed(padding=0)
    assert not listed(stride=1) and not listed(stride=(2, 1)) and not listed(stride=3) and not listed(padding=3)
    assert not listed(dilation=2) and not listed(kernel=5) and not listed(dtype=np.float64)
    assert not listed(8, groups=2) and not listed(1, groups=16)
    x = np.zeros((1, 8, 9, 9), np.float32)
    with pytest.raises(ValueError, match="algo"):
        F.conv2d(x, np.zeros((8, 8, 3, 3), np.float32), stride=2, algo=ALGO)


def test_a_sink_takes_its_gradient():
    """Few tiles and many channels: patches go to the optimiser one by one, those that are not sound from another algorithm."""
    rng = np.random.default_rng(3)
    for spoil in (0, np.inf):
        x, dy = rng.standard_normal((3, 8, 8, 144), np.float32), rng.standard_normal((3, 4, 4, 200), np.float32)
        x[1, 5, 5, 70] += spoil
        x, dy = np.moveaxis(x, -1, 1), np.moveaxis(dy, -1, 1)
        layer = nn.Conv2d(144, 200, 3, 2, padding=1, bias=False, rng=0, algo=ALGO)
        optimizer = optim.SGD(1.0).bind(layer)
        before = layer.weight.data.copy()
        layer.forward(x, True)[1](dy, need_dx=False)
        with np.errstate(all="ignore"):
            right = before - layer.weight.grad
        with optimizer.updating_in_backward():
            layer.forward(x, True)[1](dy, need_dx=False)
        assert np.array_equal(layer.weight.data, right, equal_nan=True)
        exact = F.conv2d_backward_weight(x, dy, 3, 2, 1, algo="direct")
        finite = np.isfinite(exact)
        assert np.array_equal(np.isfinite(layer.weight.grad), finite) and finite.all() == (spoil == 0)
        np.testing.assert_allclose(layer.weight.grad[finite], exact[finite], rtol=1e-3, atol=1e-3)
