"""The Winograd algorithm: error bounds, values out of range, tails, and the same bits for any thread count."""

import itertools
from functools import partial

import numpy as np
import oracle_conv as oracle
import pytest
import winograd_cases
from bits import assert_same_bits
from winograd_cases import BOUND, assert_accurate, assert_spread_alike, case, channels_last, error, expected

import cconv.functional as F
from cconv import nn

PADS = [
    ((1, 1), (1, 1)),
    ((0, 0), (0, 0)),
    ((2, 2), (2, 2)),
    ((0, 2), (1, 0)),
    ((2, 1), (0, 2)),
    ((1, 0), (2, 1)),
]
WIDE_PADS = [*PADS, ((4, 4), (4, 4)), ((0, 4), (3, 1)), ((4, 3), (0, 2))]
TAPS = pytest.mark.parametrize("taps", [3, 5])


passes = partial(winograd_cases.passes, algo="winograd")


@TAPS
@pytest.mark.parametrize("channels", [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 48, 64, 100, 130, 256, 512])
def test_error_by_channels(channels, taps):
    arrays = case(2, channels, channels, 9, 10, seed=channels, taps=taps)
    assert_accurate(passes(*arrays), expected(*arrays))


@TAPS
def test_tails(taps):
    """Every count of channels around the vectors of each instruction set, on both sides."""
    counts = [*range(1, 20), 23, 25, 39, 40, 47, 65, 79, 81]
    for ic, oc in [*zip(counts, reversed(counts), strict=True), (1, 70), (70, 1), (140, 5), (5, 140)]:
        arrays = case(1, ic, oc, 5, 6, seed=ic, taps=taps)
        assert_accurate(passes(*arrays), expected(*arrays))


@pytest.mark.parametrize(("taps", "pads"), [*((3, pads) for pads in PADS), *((5, pads) for pads in WIDE_PADS)])
def test_geometry(taps, pads):
    for h, w in itertools.product((1, 2, 3, 4, 5, 8, 11), (1, 3, 4, 6, 9)):
        if h + sum(pads[0]) >= taps and w + sum(pads[1]) >= taps:
            arrays = case(2, 5, 18, h, w, pads, seed=h * 16 + w, taps=taps)
            assert_accurate(passes(*arrays), expected(*arrays))


ODD_SIZES = [
    (5, 5, PADS[0]),
    (13, 6, PADS[0]),
    (9, 13, PADS[2]),
    (6, 5, PADS[3]),
    (5, 9, PADS[4]),
    (7, 6, PADS[5]),
]


@TAPS
@pytest.mark.parametrize("images", [2, 3, 4, 6, 7, 12, 32])
def test_mosaics(images, taps):
    """Images whose size tiles do not divide share tiles with their neighbours, whatever the padding between them."""
    for h, w, pads in ODD_SIZES:
        arrays = case(images, 18, 20, h, w, pads, seed=images, taps=taps)
        assert_accurate(passes(*arrays, mosaic=True), expected(*arrays))


@TAPS
def test_images_stand_for_themselves(taps):
    """Elsewhere an image has the same bits, whatever lies beside it."""
    for h, w, pads in ODD_SIZES:
        x, weight, dy, pads = case(6, 18, 20, h, w, pads, taps=taps)
        before = passes(x, weight, dy, pads)
        x[::2] *= 1e12
        dy[::2] *= 1e12
        after = passes(x, weight, dy, pads)
        for name in ("forward", "backward_data"):
            np.testing.assert_array_equal(after[name][1::2], before[name][1::2])


def test_layers_keep_images_apart_in_inference():
    """y and dx of an image have the same bits, whatever lies beside it."""
    layer = nn.Conv2d(18, 20, 3, padding=1, rng=0, algo="winograd")
    x, _, dy, _ = case(6, 18, 20, 13, 13)

    def both(factor):
        others = np.where(np.arange(6) % 2 == 0, np.float32(factor), np.float32(1))[:, None, None, None]
        y, backward = layer.forward(channels_last(x * others), False)
        return y[1::2], backward(channels_last(dy * others))[1::2], layer(channels_last(x * others))[1::2]

    for a, b in zip(both(1), both(1e12), strict=True):
        np.testing.assert_array_equal(a, b)


@TAPS
@pytest.mark.parametrize(
    "shape",
    [(3, 64, 64, 20, 20), (9, 32, 48, 24, 24), (2, 400, 370, 9, 9), (40, 140, 130, 12, 10), (6, 340, 190, 13, 13)],
)
def test_schedules(shape, taps):
    """Many tiles and few channels, few tiles and many channels: each is cut in another way."""
    arrays = case(*shape, taps=taps)
    assert_accurate(passes(*arrays), expected(*arrays))


@TAPS
def test_many_tiles_keep_the_weight_gradient_accurate(taps):
    x, _, dy, pads = case(4, 4, 4, 130, 130, taps=taps)
    got = F.conv2d_backward_weight(x + 1, dy + 1, taps, padding=pads, algo="winograd")
    right = oracle.backward_weight(x + 1, dy + 1, (taps, taps), (1, 1), pads, (1, 1), 1)
    assert error(got, right) <= 1e-5


@TAPS
@pytest.mark.parametrize(
    ("scale", "weight_scale"), [(s, w) for s in (-30, -20, 0, 20, 30) for w in (-30, -8, 0, 8, 30)]
)
def test_scales(scale, weight_scale, taps):
    """As accurate as direct convolution wherever that neither overflows nor reaches the denormals."""
    factor = 10.0 ** (scale + weight_scale)
    x, weight, dy, pads = case(2, 20, 24, 8, 8, taps=taps)
    right = expected(x, weight, dy, pads)
    x, dy, weight = x * np.float32(10.0**scale), dy * np.float32(10.0**weight_scale), weight
    got = F.conv2d_backward_weight(x, dy, taps, algo="winograd", padding=pads)
    exact = F.conv2d_backward_weight(x, dy, taps, algo="direct", padding=pads)
    assert_like(got, exact, right["backward_weight"], factor, 1e-4)
    w = weight * np.float32(10.0**weight_scale)
    got, exact = (F.conv2d(x, w, padding=pads, algo=algo) for algo in ("winograd", "direct"))
    assert_like(got, exact, right["forward"], factor, 2e-5)


def assert_like(got, exact, right, factor, bound):
    if 1e-35 < factor < 1e36:
        assert error(got / factor, right) <= bound
    else:
        np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
        finite = np.isfinite(exact)
        np.testing.assert_array_equal(got[~finite], exact[~finite])
        assert np.all(np.abs(got[finite] - exact[finite]) <= 1e-5 * np.abs(exact[finite]).max(initial=0) + 1e-42)


@TAPS
def test_intermediate_overflow(taps):
    """3e38 fits, 20 times that does not: no output may turn Inf that direct convolution leaves finite."""
    x = channels_last(np.full((1, 3, 6, 6), 3e38, np.float32))
    weight = np.zeros((2, 3, taps, taps), np.float32)
    weight[:, 0, taps // 2, taps // 2] = 1, -0.5
    y = F.conv2d(x, weight, padding=taps // 2, algo="winograd")
    np.testing.assert_array_equal(y[0, 0], x[0, 0])
    np.testing.assert_array_equal(y[0, 1], x[0, 0] * np.float32(-0.5))


@TAPS
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("channels", [3, 20])
def test_not_finite(value, channels, taps):
    """Inf and NaN reach exactly what they reach in direct convolution."""
    x, weight, dy, pads = case(2, channels, channels, 9, 7, ((taps // 2, taps // 2),) * 2, taps=taps)
    for array, at in [(x, (0, 1, 0, 0)), (x, (1, 2, 4, 3)), (x, (1, 0, 8, 6)), (x, (0, 0, 3, 5)), (dy, (0, 1, 5, 2)),
                      (dy, (1, 2, 0, 6)), (weight, (1, 2, 0, 0)), (weight, (0, 1, 1, 1))]:  # fmt: skip
        before, array[at] = array[at], value
        got, right = passes(x, weight, dy, pads), passes(x, weight, dy, pads, algo="direct")
        array[at] = before
        assert_spread_alike(got, right)


@TAPS
def test_zeros_stay_zero(taps):
    arrays = case(1, 16, 16, 8, 8, taps=taps)
    for got in passes(*(a * np.float32(0) for a in arrays[:3]), arrays[3]).values():
        assert not got.any()


@TAPS
def test_bias(taps):
    x, weight, dy, pads = case(2, 17, 35, 7, 5, taps=taps)
    bias = np.arange(35, dtype=np.float32)
    y = F.conv2d(x, weight, bias, padding=pads, algo="winograd")
    assert error(y, expected(x, weight, dy, pads)["forward"] + bias[:, None, None]) <= 2e-5


@TAPS
@pytest.mark.parametrize(
    "shape", [(2, 16, 24, 9, 9), (6, 64, 64, 18, 18), (3, 260, 520, 6, 6), (2, 400, 400, 4, 4), (5, 340, 190, 13, 13)]
)
def test_same_bits_for_any_thread_count(shape, taps):
    arrays = case(*shape, taps=taps)
    assert_same_bits(lambda: list(passes(*arrays).values()))


@TAPS
def test_supported_geometry(taps):
    listed = {
        name: "winograd" in F.conv_algorithms((2, 8, 9, 9), (8, 8, taps, taps), channels_last=True, **options)
        for name, options in {
            "plain": {"padding": 1},
            "widest": {"padding": taps - 1},
            "wide": {"padding": taps},
            "stride": {"padding": 1, "stride": 2},
            "dilation": {"padding": 1, "dilation": 2},
            "double": {"padding": 1, "dtype": np.float64},
        }.items()
    }
    assert listed == {"plain": True, "widest": True, "wide": False, "stride": False, "dilation": False, "double": True}
    for kernel in [(3, 5), (5, 3), (1, 5), (4, 4), (7, 7)]:
        assert "winograd" not in F.conv_algorithms((2, 8, 9, 9), (8, 8, *kernel), channels_last=True)
    grouped = (2, 8, 9, 9), (8, 4, taps, taps)
    assert "winograd" in F.conv_algorithms(*grouped, groups=2, channels_last=True)
    assert "winograd" not in F.conv_algorithms(*grouped, groups=2, channels_last=True, dtype=np.float64)
    assert "winograd" not in F.conv_algorithms((2, 8, 9, 9), (8, 1, taps, taps), groups=8, channels_last=True)


def joined(groups, of):
    """The passes of groups that are computed by themselves."""
    each = [of(g) for g in range(groups)]
    axis = {"forward": 1, "backward_data": 1, "backward_weight": 0}
    return {name: np.concatenate([result[name] for result in each], axis[name]) for name in BOUND}


@TAPS
@pytest.mark.parametrize(
    ("inputs", "outputs", "groups"), [(4, 6, 3), (16, 16, 4), (24, 17, 2), (2, 1, 5), (130, 64, 2), (16, 16, 37)]
)
def test_groups_are_convolutions_of_their_own(inputs, outputs, groups, taps):
    x, _, dy, pads = case(5, groups * inputs, groups * outputs, 11, 9, taps=taps)
    weight = np.random.default_rng(1).standard_normal((groups * outputs, inputs, taps, taps), np.float32)
    got = passes(x, weight, dy, pads, groups=groups)

    def alone(g):
        i, o = slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)
        return passes(channels_last(x[:, i]), weight[o], channels_last(dy[:, o]), pads)

    for name, right in joined(groups, alone).items():
        assert error(got[name], right) <= 2e-6, name  # rows are read another way where pixels are far apart
    assert_same_bits(lambda: list(passes(x, weight, dy, pads, groups=groups).values()))


@TAPS
@pytest.mark.parametrize("value", [np.inf, np.nan, 1e38])
def test_what_is_not_finite_stays_in_its_group(value, taps):
    groups, inputs, outputs = 3, 5, 4
    x, _, dy, pads = case(2, groups * inputs, groups * outputs, 8, 7, taps=taps)
    weight = np.random.default_rng(1).standard_normal((groups * outputs, inputs, taps, taps), np.float32)
    for array, at in [(x, (1, 7, 3, 2)), (dy, (0, 5, 4, 1)), (weight, (6, 2, 1, 1))]:
        before, array[at] = array[at], value
        got, right = (passes(x, weight, dy, pads, algo=algo, groups=groups) for algo in ("winograd", "direct"))
        array[at] = before
        for name in BOUND:
            finite = np.isfinite(right[name])
            np.testing.assert_array_equal(np.isfinite(got[name]), finite)
            np.testing.assert_allclose(got[name][finite], right[name][finite], rtol=1e-3, atol=1e-4)


def test_more_threads_than_shares():
    """Tiles whose gradient for the weights is summed in two shares, which three and seven threads make together."""
    rng = np.random.default_rng(6)
    x, dy = (channels_last(rng.standard_normal((17, c, 16, 15), np.float32)) for c in (80, 96))

    def gradient(algo="winograd"):
        return F.conv2d_backward_weight(x, dy, 3, padding=1, algo=algo)

    assert error(gradient(), gradient("direct")) <= 1e-5
    assert_same_bits(lambda: [gradient()])
