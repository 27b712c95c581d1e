"""Depthwise convolution: every channel with kernels of its own, against the oracle and the other algorithms."""

import itertools

import numpy as np
import oracle_conv as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cconv
from cconv import _runtime
from cconv import functional as F

PASSES = ("forward", "backward_data", "backward_weight")


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def sparse(rng, shape, dtype):
    """Small integers, most of them 0: every sum is exact."""
    return (rng.integers(-3, 4, shape) * (rng.random(shape) < 0.4)).astype(dtype)


def arrays(n, channels, multiplier, size, kernel, stride, pads, dilation, dtype, seed):
    rng = np.random.default_rng(seed)
    x = sparse(rng, (n, channels, *size), dtype)
    w = sparse(rng, (channels * multiplier, 1, *kernel), dtype)
    b = sparse(rng, (channels * multiplier,), dtype)
    dy = sparse(rng, (n, channels * multiplier, *oracle.output_size(size, kernel, stride, pads, dilation)), dtype)
    return x, w, b, dy


def check(n, channels, multiplier, size, kernel, stride, pads, dilation, dtype, last, seed=0):
    """All passes are exact."""
    x, w, b, dy = arrays(n, channels, multiplier, size, kernel, stride, pads, dilation, dtype, seed)
    y = oracle.forward(x, w, b, stride, pads, dilation, channels)
    dx = oracle.backward_data(dy, w, size, stride, pads, dilation, channels)
    dw = oracle.backward_weight(x, dy, kernel, stride, pads, dilation, channels)
    # <conv x, dy> == <x, conv^T dy> == <w, dw>
    linear = np.sum((y - b.reshape(-1, *(1,) * len(size))) * dy)
    assert linear == np.sum(x * dx) == np.sum(w * dw)
    if last:
        x, dy = channels_last(x), channels_last(dy)
    forward, data, weight = (getattr(F, f"conv{len(size)}d{s}") for s in ("", "_backward_data", "_backward_weight"))
    args = (stride, pads, dilation, channels, "depthwise")
    for got, expected in (
        (forward(x, w, b, *args), y),
        (data(dy, w, size, *args), dx),
        (weight(x, dy, kernel, *args), dw),
    ):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_grid(rank, dtype):
    sizes = ((6, 5, 7), (9, 4, 8), (3, 12, 11))
    for i, (k, s, d, p, m) in enumerate(
        itertools.product((1, 2, 3), (1, 2, 3), (1, 2), ((0, 0), (1, 2), (3, 0)), (1, 2, 3))
    ):
        size = sizes[i % 3][3 - rank :]
        if min(size) + sum(p) > d * (k - 1):
            channels = (1, 3, 5, 8, 20)[i % 5]
            check(2, channels, m, size, (k,) * rank, (s,) * rank, (p,) * rank, (d,) * rank, dtype, i % 2 == 0, i)


@pytest.mark.parametrize("channels", [*range(1, 20), 31, 32, 33, 47, 48, 49, 64, 67])
def test_channels(channels):
    for stride in (1, 2):
        check(1, channels, 1, (9, 11), (3, 3), (stride,) * 2, ((1, 1),) * 2, (1, 1), np.float32, True, channels)


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (3, 5), (1, 7), (7, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_sizes(kernel, stride):
    for side in range(1, 15):
        pads = tuple((k // 2, k // 2) for k in kernel)
        check(1, 18, 1, (side, 15 - side), kernel, (stride,) * 2, pads, (1, 1), np.float32, True, side)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [(3, 3), (3, 5), (7, 7), (14, 14), (9, 16), (30, 17), (61, 33), (26, 150), (4, 1100)])
def test_rows_of_channels_first(side, stride):
    """Whole and partial vectors, planes of one strip and of several, every padding that a window can have, odd sides."""
    for seed, (top, left) in enumerate(itertools.product((0, 1, 2), repeat=2)):
        pads = (top, 2 - left), (left, 2 - top)
        check(2, 3, 1, side, (3, 3), (stride,) * 2, pads, (1, 1), np.float32, False, seed)
    check(3, 70, 1, (3, *side), (1, 3, 3), (1, stride, stride), ((0, 0), (1, 1), (1, 1)), (1,) * 3, np.float32, False)


axis = st.tuples(
    st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(0, 4), st.integers(1, 3)
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(axis, min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 35), st.integers(1, 4),
    st.sampled_from([np.float32, np.float64]), st.booleans(), st.integers(0, 2**31),
)  # fmt: skip
def test_any_geometry(axes, n, channels, multiplier, dtype, last, seed):
    size, kernel, stride, before, after, dilation = zip(*axes, strict=True)
    kernel = tuple(
        min(k, (i + a + b - 1) // d + 1) for k, i, a, b, d in zip(kernel, size, before, after, dilation, strict=True)
    )
    pads = tuple(zip(before, after, strict=True))
    check(n, channels, multiplier, size, kernel, stride, pads, dilation, dtype, last, seed)


@pytest.mark.parametrize("kernel", [31, 70])
def test_large_kernel(kernel):
    check(1, 5, 1, (40, 75), (kernel // 2, kernel), (1, 2), ((9, 8), (30, 31)), (1, 1), np.float64, True)


def test_chosen():
    for dtype in (np.float32, np.float64):
        for direction in PASSES:
            names = F.conv_algorithms((2, 8, 9, 9), (16, 1, 3, 3), 1, 1, 1, 8, dtype, True, direction)
            assert names[0] == "depthwise" and names[-1] == "reference"
    assert "depthwise" not in F.conv_algorithms((2, 8, 9, 9), (16, 2, 3, 3), 1, 1, 1, 4, channels_last=True)


def test_auto_of_channels_first():
    x, w, b, dy = arrays(2, 20, 2, (9, 8), (3, 3), (2, 2), ((1, 1),) * 2, (1, 1), np.float32, 3)
    for auto, named in (
        (F.conv2d(x, w, b, 2, 1, 1, 20), F.conv2d(x, w, b, 2, 1, 1, 20, "depthwise")),
        (F.conv2d_backward_data(dy, w, (9, 8), 2, 1, 1, 20), F.conv2d_backward_data(dy, w, (9, 8), 2, 1, 1, 20, "depthwise")),
    ):  # fmt: skip
        np.testing.assert_array_equal(auto, named)
        assert auto.flags.c_contiguous


@pytest.mark.parametrize(
    "groups, channels, w_shape", [(1, 4, (4, 4, 3, 3)), (2, 4, (4, 2, 3, 3)), (2, 4, (6, 2, 1, 1))]
)
def test_refused(groups, channels, w_shape):
    x, w = np.ones((1, channels, 5, 5), np.float32), np.ones(w_shape, np.float32)
    with pytest.raises(ValueError, match=r"'depthwise' cannot do forward .*groups"):
        F.conv2d(x, w, groups=groups, algo="depthwise")
    dy = np.ones((1, w_shape[0], *(5 - k + 1 for k in w_shape[2:])), np.float32)
    with pytest.raises(ValueError, match=r"'depthwise' cannot do backward_data"):
        F.conv2d_backward_data(dy, w, (5, 5), groups=groups, algo="depthwise")
    with pytest.raises(ValueError, match=r"'depthwise' cannot do backward_weight"):
        F.conv2d_backward_weight(x, dy, w_shape[2:], groups=groups, algo="depthwise")


@pytest.mark.parametrize("order", [channels_last, np.ascontiguousarray])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_padding_is_not_multiplied(bad, order):
    """A weight, or an element of dy, that is not finite shows only where it meets the image."""
    x, w = order(np.ones((1, 17, 6, 7), np.float32)), np.ones((17, 1, 3, 3), np.float32)
    w[:, 0, 0, 0] = bad
    y = F.conv2d(x, w, padding=1, groups=17, algo="depthwise")
    assert np.isfinite(y[:, :, 0]).all() and np.isfinite(y[..., 0]).all()
    assert not np.isfinite(y[:, :, 1:, 1:]).any()
    dx = F.conv2d_backward_data(x, w, (6, 7), padding=1, groups=17, algo="depthwise")
    assert np.isfinite(dx[:, :, -1]).all() and np.isfinite(dx[..., -1]).all()
    dy = x.copy("K")
    dy[:, :, 0, 0] = bad
    dw = F.conv2d_backward_weight(x, dy, 3, padding=1, groups=17, algo="depthwise")
    assert np.isfinite(dw[:, 0, 0]).all() and np.isfinite(dw[:, 0, :, 0]).all()
    assert not np.isfinite(dw[:, 0, 1:, 1:]).any()


@pytest.mark.parametrize("order", [channels_last, np.ascontiguousarray])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 9), (9, 9), (14, 14), (8, 35), (21, 40)])
def test_special_weights_as_defined(size, stride, order):
    """Neither padding, nor what lies between windows that are a stride apart, is multiplied by Inf or NaN."""
    rng, c = np.random.default_rng(size[1]), 9
    x = order(rng.standard_normal((2, c, *size), np.float32))
    w = rng.standard_normal((c, 1, 3, 3), np.float32)
    w.reshape(c, 9)[np.arange(c), np.arange(c)] = np.where(np.arange(c) % 2, np.inf, np.nan)
    args = (stride, 1, 1, c)
    y = F.conv2d(x, w, None, *args, "reference")
    dy = order(rng.standard_normal(y.shape, np.float32))
    dx = F.conv2d_backward_data(dy, w, size, *args, "reference")
    for got, expected in (
        (F.conv2d(x, w, None, *args, "depthwise"), y),
        (F.conv2d_backward_data(dy, w, size, *args, "depthwise"), dx),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [channels_last, np.ascontiguousarray])
def test_infinity_stays_where_it_is(order):
    x = np.ones((1, 3, 8, 9), np.float32)
    x[0, 1, 4, 4] = np.inf
    y = F.conv2d(order(x), np.ones((3, 1, 3, 3), np.float32), padding=1, groups=3)
    assert np.isinf(y[0, 1, 3:6, 3:6]).all() and np.isinf(y).sum() == 9


@pytest.mark.parametrize("order", [channels_last, np.ascontiguousarray])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_same_bits_on_any_number_of_threads(multiplier, dtype, order):
    rng = np.random.default_rng(1)
    x = order(rng.standard_normal((5, 40, 23, 21)).astype(dtype))
    w = rng.standard_normal((40 * multiplier, 1, 3, 3)).astype(dtype)
    before, seen = cconv.get_num_threads(), {}
    try:
        for threads in (1, 2, 3, 7):
            cconv.set_num_threads(threads)
            for stride in (1, 2):
                args = (stride, 1, 1, 40, "depthwise")
                y = F.conv2d(x, w, None, *args)
                results = y, F.conv2d_backward_data(y, w, (23, 21), *args), F.conv2d_backward_weight(x, y, 3, *args)
                for which, result in zip(PASSES, results, strict=True):
                    bits = result.tobytes()
                    assert seen.setdefault((stride, which), bits) == bits, (stride, which, threads)
    finally:
        cconv.set_num_threads(before)


@pytest.mark.parametrize("stride", [1, 2])
def test_same_bits_beyond_the_caches(stride):
    """Arrays that no cache holds are written past them: images are what they are alone."""
    rng, args = np.random.default_rng(3), (stride, 1, 1, 64, "depthwise")
    x = channels_last(rng.standard_normal((28, 64, 56, 56), np.float32))
    w = rng.standard_normal((64, 1, 3, 3), np.float32)
    y = F.conv2d(x, w, None, *args)
    dx = F.conv2d_backward_data(y, w, (56, 56), *args)
    for image in (slice(0, 1), slice(13, 14), slice(27, 28)):
        np.testing.assert_array_equal(y[image], F.conv2d(x[image], w, None, *args))
        np.testing.assert_array_equal(dx[image], F.conv2d_backward_data(y[image], w, (56, 56), *args))


@pytest.mark.parametrize("order", [channels_last, np.ascontiguousarray])
def test_accuracy_of_long_sums(order):
    rng = np.random.default_rng(2)
    x = order(rng.standard_normal((4, 16, 96, 96)).astype(np.float32) + 1)
    dy = order(rng.standard_normal((4, 16, 96, 96)).astype(np.float32) + 1)
    got = F.conv2d_backward_weight(x, dy, 3, 1, 1, 1, 16, "depthwise")
    exact = oracle.backward_weight(x, dy, (3, 3), (1, 1), ((1, 1),) * 2, (1, 1), 16)
    np.testing.assert_allclose(got, exact, rtol=3e-6)


def test_fused_ending():
    x, w, b, residual = arrays(2, 19, 1, (7, 9), (3, 3), (1, 1), ((1, 1),) * 2, (1, 1), np.float32, 4)
    layer = cconv.nn.Conv2d(19, 19, 3, padding=1, groups=19, rng=0)
    layer.weight.data[...], layer.bias.data[...] = w, b
    y = layer.infer(x, residual=residual, relu=True)
    plain = oracle.forward(x, w, b, (1, 1), ((1, 1),) * 2, (1, 1), 19)
    np.testing.assert_array_equal(y, np.maximum(plain + residual, 0))
    x[0, 0, 3, 3] = np.nan
    assert np.isnan(layer.infer(x, relu=True)[0, 0, 2:5, 2:5]).all()


@pytest.mark.parametrize("multiplier, order", [(2, channels_last), (1, np.ascontiguousarray)])
def test_no_memory(multiplier, order):
    x, w, _, dy = arrays(2, 8, multiplier, (9, 9), (3, 3), (1, 1), ((1, 1),) * 2, (1, 1), np.float32, 5)
    x, dy = order(x), order(dy)
    args = (1, 1, 1, 8, "depthwise")
    for run in (
        lambda: F.conv2d(x, w, None, *args),
        lambda: F.conv2d_backward_data(dy, w, (9, 9), *args),
        lambda: F.conv2d_backward_weight(x, dy, 3, *args),
    ):
        expected = run()
        for successes in range(10):
            _runtime.arena_fail_after(successes)
            try:
                run()
                break
            except MemoryError:
                pass
            finally:
                _runtime.arena_fail_after(-1)
            np.testing.assert_array_equal(run(), expected)
        assert successes > (2 if multiplier > 1 else 0)


@pytest.mark.parametrize("groups, multiplier", [(18, 1), (18, 2), (3, 1)])
@pytest.mark.parametrize("last", [False, True])
def test_transposed(groups, multiplier, last):
    """The transposed convolution is the data gradient; output_padding beyond the last window is bias alone."""
    rng = np.random.default_rng(6)
    w = sparse(rng, (18 * multiplier, 18 // groups, 3, 3), np.float32)
    x, b = sparse(rng, (2, 18 * multiplier, 5, 6), np.float32), sparse(rng, (18,), np.float32)
    x = channels_last(x) if last else x
    for stride, padding, extra, dilation in ((1, 1, 0, 1), (2, 1, 1, 1), (1, 0, 2, 3), (3, 1, 0, 1)):
        y = F.conv_transpose2d(x, w, b, stride, padding, extra, groups, dilation)
        size = tuple((n - 1) * stride - 2 * padding + dilation * 2 + extra + 1 for n in (5, 6))
        pads = ((padding, padding),) * 2
        covered = tuple(s - extra for s in size)
        dx = oracle.backward_data(x, w, covered, (stride,) * 2, pads, (dilation,) * 2, groups)
        whole = np.zeros((2, 18, *size), np.float64)
        whole[:, :, : covered[0], : covered[1]] = dx
        if extra and padding:  # windows reach into what padding had taken away
            whole = oracle.backward_data(
                x, w, size, (stride,) * 2, ((padding, padding - extra),) * 2, (dilation,) * 2, groups
            )
        np.testing.assert_array_equal(y, whole + b.reshape(-1, 1, 1))


def test_empty_transposed():
    w, b = np.ones((4, 2, 3, 3), np.float32), np.ones(4, np.float32)
    y = F.conv_transpose2d(np.empty((0, 4, 5, 5), np.float32), w, b, 2, 1, 1, groups=2)
    assert y.shape == (0, 4, 10, 10)
    layer = cconv.nn.ConvTranspose2d(4, 4, 3, groups=4, rng=0)
    y, backward = layer.forward(np.empty((0, 4, 5, 5), np.float32), True)
    assert y.shape == (0, 4, 7, 7) and backward(y).shape == (0, 4, 5, 5)
    y = F.conv_transpose2d(np.empty((1, 0, 3, 3), np.float32), np.empty((0, 2, 3, 3), np.float32), b[:2])
    np.testing.assert_array_equal(y, np.ones((1, 2, 5, 5)))
