"""float64 by every algorithm: as exact as a sum of products, Winograd's tiles within 1e-12, in both memory orders."""

import itertools

import numpy as np
import oracle_conv as oracle
import pytest
from bits import assert_same_bits

import cconv
import cconv.functional as F
from cconv import _runtime, nn
from cconv.functional.conv import prepare

NAMED = ("direct", "pointwise", "winograd", "im2col", "depthwise")


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def error(got, expected):
    return np.linalg.norm(got - expected) / max(np.linalg.norm(expected), 1e-300)


def passes(x, w, dy, args, algo):
    """y, dx, dw by the functions of a user."""
    rank = x.ndim - 2
    forward, data, weight = (getattr(F, f"conv{rank}d{s}") for s in ("", "_backward_data", "_backward_weight"))
    return (
        forward(x, w, None, *args, algo),
        data(dy, w, x.shape[2:], *args, algo),
        weight(x, dy, w.shape[2:], *args, algo),
    )


def case(x_shape, w_shape, args, seed=0):
    """Random x, w, dy and what the reference makes of them."""
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    dy = rng.standard_normal(prepare(x_shape, w_shape, *args, dtype=np.float64).y_shape)
    return x, w, dy, passes(x, w, dy, args, "reference")


# (x, weight, (stride, padding, dilation, groups), what does it)
SHAPES = [
    ((2, 5, 14, 13), (7, 5, 3, 3), (1, 1, 1, 1), {"direct", "winograd", "im2col"}),
    ((1, 20, 9, 30), (33, 20, 3, 3), (1, ((0, 2), (2, 1)), 1, 1), {"direct", "winograd", "im2col"}),
    ((2, 18, 8, 7), (35, 18, 5, 5), (1, 2, 1, 1), {"direct", "winograd", "im2col"}),
    ((5, 3, 40, 41), (6, 3, 5, 5), (1, ((4, 0), (1, 3)), 1, 1), {"direct", "winograd", "im2col"}),
    ((3, 6, 15, 17), (8, 3, 3, 2), ((2, 3), (1, 0), (1, 2), 2), {"direct", "im2col"}),
    ((2, 3, 31, 29), (4, 3, 7, 7), (2, 3, 1, 1), {"direct", "im2col"}),
    ((2, 4, 3, 2), (5, 4, 5, 5), (3, 4, 1, 1), {"direct", "im2col"}),
    ((2, 30, 9, 11), (20, 30, 1, 1), (1, 0, 1, 1), {"direct", "pointwise", "im2col"}),
    ((2, 30, 9, 11), (20, 30, 1, 1), ((2, 3), 0, 1, 1), {"direct", "pointwise", "im2col"}),
    ((2, 6, 9, 11), (12, 1, 3, 3), (1, 1, 1, 6), {"direct", "depthwise", "im2col"}),
    ((2, 6, 30), (4, 3, 5), (2, 2, 1, 2), {"direct", "im2col"}),
    ((2, 6, 30), (4, 6, 1), (2, 0, 1, 1), {"direct", "pointwise", "im2col"}),
    ((2, 4, 6, 7, 5), (6, 2, 3, 2, 3), ((1, 2, 1), 1, (2, 1, 1), 2), {"direct", "im2col"}),
    ((1, 200, 10, 10), (150, 200, 3, 3), (1, 1, 1, 1), {"direct", "winograd", "im2col"}),
]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("x_shape, w_shape, args, fit", SHAPES)
@pytest.mark.row("2.01")
def test_algorithms_agree(x_shape, w_shape, args, fit, last):
    x, w, dy, right = case(x_shape, w_shape, args)
    if last:
        x, dy = channels_last(x), channels_last(dy)
    # The kernels of small groups fit where a vector holds whole groups, stencils and blocks channels-first order: also
    # shapes of other algorithms.
    others = {"grouped", "stencil", "blocks"}
    for direction in ("forward", "backward_data", "backward_weight"):
        listed = set(F.conv_algorithms(x_shape, w_shape, *args, np.float64, last, direction))
        assert listed - {"grouped", "stencil", "blocks"} == fit | {"fft", "reference"}
        others &= listed
    for algo in sorted(fit | others):
        for got, expected in zip(passes(x, w, dy, args, algo), right, strict=True):
            assert got.dtype == np.float64 and error(got, expected) <= 1e-13
    for algo in set(NAMED) - fit - others:
        with pytest.raises(ValueError, match=f"algo '{algo}' cannot do forward of x .*weight"):
            passes(x, w, dy, args, algo)


def test_tiles_of_two_are_exact():
    """F(2x2, 3x3) in float64 has no rounding on integers."""
    rng = np.random.default_rng(1)
    for pads in itertools.product((0, 1, 2), repeat=2):
        args = (1, 1), tuple((p, p) for p in pads), (1, 1), 1
        x, w = (rng.integers(-99, 100, s).astype(float) for s in ((2, 5, 9, 8), (3, 5, 3, 3)))
        y = oracle.forward(x, w, None, *args)
        dy = rng.integers(-99, 100, y.shape).astype(float)
        right = y, oracle.backward_data(dy, w, x.shape[2:], *args), oracle.backward_weight(x, dy, (3, 3), *args)
        for got, expected in zip(passes(x, w, dy, args, "winograd"), right, strict=True):
            np.testing.assert_array_equal(got, expected)


GOLDEN = [
    (16, 4, [[258, 294], [402, 438]]),
    (36, 6, [[366, 402, 438, 474], [582, 618, 654, 690], [798, 834, 870, 906], [1014, 1050, 1086, 1122]]),
]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("count, side, expected", GOLDEN)
@pytest.mark.row("2.07")
def test_counting_tiles(count, side, expected, last):
    """One tile of F(2x2, 3x3) and of F(4x4, 3x3)."""
    x, w = np.arange(float(count)).reshape(1, 1, side, side), np.arange(9.0).reshape(1, 1, 3, 3)
    x = channels_last(x) if last else x
    for algo in F.conv_algorithms(x.shape, w.shape, dtype=np.float64, channels_last=last):
        np.testing.assert_allclose(F.conv2d(x, w, algo=algo)[0, 0], expected, rtol=1e-12)
        single = F.conv2d(x.astype(np.float32), w.astype(np.float32), algo=algo)
        np.testing.assert_allclose(single[0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_not_finite(value, taps):
    """Inf and NaN reach what they reach in direct convolution."""
    args = 1, taps // 2, 1, 1
    x, w, dy, _ = case((2, 20, 9, 7), (18, 20, taps, taps), args)
    for array, at in ((x, (0, 1, 0, 0)), (x, (1, 2, 4, 3)), (dy, (1, 2, 0, 6)), (w, (1, 2, 0, 0))):
        before, array[at] = array[at], value
        for got, right in zip(passes(x, w, dy, args, "winograd"), passes(x, w, dy, args, "reference"), strict=True):
            np.testing.assert_array_equal(np.isnan(got), np.isnan(right))
            np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-12)
        array[at] = before


@pytest.mark.parametrize("factor", [1e-290, 1e-160, 1e160, 1e300])
def test_scales(factor):
    """What overflows or vanishes in the transforms is computed without them."""
    args = 1, 1, 1, 1
    x, w, dy, right = case((1, 3, 6, 6), (4, 3, 3, 3), args)
    got = passes(x * factor, w, dy, args, "winograd")
    np.testing.assert_allclose(got[0], right[0] * factor, rtol=1e-9)
    np.testing.assert_allclose(got[2], right[2] * factor, rtol=1e-9)
    huge = np.full((1, 1, 6, 6), 1.7e308)
    kernel = np.zeros((1, 1, 5, 5))
    kernel[0, 0, 2, 2] = 1
    np.testing.assert_array_equal(F.conv2d(huge, kernel, padding=2, algo="winograd"), huge)


@pytest.mark.parametrize("algo", ["direct", "winograd"])
@pytest.mark.parametrize("x_shape, w_shape", [((5, 12, 19, 17), (40, 12, 3, 3)), ((2, 130, 6, 5), (70, 130, 5, 5))])
def test_same_bits_for_any_thread_count(x_shape, w_shape, algo):
    args = 1, 1, 1, 1
    x, w, dy, _ = case(x_shape, w_shape, args)
    assert_same_bits(lambda: passes(x, w, dy, args, algo))


@pytest.mark.parametrize("algo", ["direct", "pointwise", "winograd"])
def test_no_memory(algo):
    args = 1, 0, 1, 1
    taps = 1 if algo == "pointwise" else 3
    x, w, dy, _ = case((2, 8, 9, 9), (6, 8, taps, taps), args)
    expected = passes(x, w, dy, args, algo)
    for successes in range(20):
        _runtime.arena_fail_after(successes)
        try:
            passes(x, w, dy, args, algo)
            break
        except MemoryError:
            pass
        finally:
            _runtime.arena_fail_after(-1)
        for got, right in zip(passes(x, w, dy, args, algo), expected, strict=True):
            np.testing.assert_array_equal(got, right)
    assert successes > 3


@pytest.mark.parametrize("algo", ["direct", "winograd", "im2col", "reference", "fft"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.row("2.10")
def test_layers_take_every_algorithm(algo, dtype, last):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 6, 9, 8)).astype(dtype)
    x = channels_last(x) if last else x
    for kind in (nn.Conv2d, nn.ConvTranspose2d):
        layer, twin = (kind(6, 5, 3, padding=1, rng=0, dtype=dtype, algo=a) for a in (algo, "auto"))
        results = []
        for one in (layer, twin):
            y, backward = one.forward(x, True)
            one.zero_grad()
            results.append((y, backward(np.cos(y)), one.weight.grad, one.bias.grad))
        for got, expected in zip(*results, strict=True):
            assert error(got, expected) <= (1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("algo", ["direct", "winograd", "fft"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("last", [False, True])
def test_transposed(algo, dtype, last):
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((2, 6, 9, 8)).astype(dtype), rng.standard_normal((6, 4, 3, 3)).astype(dtype)
    dy = rng.standard_normal((2, 4, 9, 8)).astype(dtype)
    if last:
        x, dy = channels_last(x), channels_last(dy)

    def every(name):
        return (
            F.conv_transpose2d(x, w, None, 1, 1, algo=name),
            F.conv_transpose2d_backward_data(dy, w, (9, 8), 1, 1, algo=name),
            F.conv_transpose2d_backward_weight(x, dy, (3, 3), 1, 1, algo=name),
        )

    for got, expected in zip(every(algo), every("reference"), strict=True):
        assert error(got, expected) <= (1e-5 if dtype == np.float32 else 1e-13)
        assert got.ndim != 4 or got.shape[2:] == (3, 3) or got.flags.c_contiguous != last


def test_auto_is_exact():
    """float64 never takes transforms by itself."""
    for w_shape, padding in (((64, 64, 3, 3), 1), ((64, 64, 5, 5), 2), ((64, 64, 31, 31), 15), ((64, 64, 1, 1), 0)):
        for last in (False, True):
            geometry = prepare((4, 64, 28, 28), w_shape, 1, padding, dtype=np.float64, channels_last=last)
            taken = {geometry.algorithm(d) for d in ("forward", "backward_data", "backward_weight")}
            assert taken == ({"pointwise"} if padding == 0 else {"im2col"})
    assert not cconv.get_exact()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strides_beyond_any_image(dtype):
    """One window; nothing is counted up to the stride, nor multiplied by it."""
    x, w = channels_last(np.ones((2, 8, 5, 5), dtype)), np.ones((8, 8, 3, 3), dtype)
    for stride in (6, 2**31, 2**60, 2**62 - 1):
        args = stride, 1, 1, 1
        names = F.conv_algorithms(x.shape, w.shape, *args, dtype, True)
        y, dx, dw = passes(x, w, np.ones((2, 8, 1, 1), dtype), args, "reference")
        for algo in ("auto", *names):
            got = passes(x, w, np.ones((2, 8, 1, 1), dtype), args, algo)
            for result, expected in zip(got, (y, dx, dw), strict=True):
                np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-5)
