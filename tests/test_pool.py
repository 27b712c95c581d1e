"""Pooling kernels: golden numbers, the oracle over a grid, hostile input."""

import itertools

import numpy as np
import oracle_pool as oracle
import pytest
from contract import channels_last, disguises
from hypothesis import given, settings
from hypothesis import strategies as st

import cconv
import cconv.functional as F
from cconv import _runtime
from cconv.functional._arguments import is_channels_last

X = np.arange(9.0).reshape(3, 3)
A16 = np.arange(16.0).reshape(4, 4)
P4 = np.array([[0, 1, 2, 3], [8, 7, 5, 6], [4, 3, 1, 2], [0, -1, -2, -3]], float)
C5 = np.array([[1, 2, 5, 2, 3], [9, 4, 1, 4, 8], [1, 2, 5, 2, 3]], float)
M6 = np.array(
    [
        [35, 1, 6, 26, 19, 24],
        [3, 32, 7, 21, 23, 25],
        [31, 9, 2, 22, 27, 20],
        [8, 28, 33, 17, 10, 15],
        [30, 5, 34, 12, 14, 16],
        [4, 36, 29, 13, 18, 11],
    ],
    float,
)
DTYPES = (np.float32, np.float64)
DY = np.array([[2.0, 8], [4, 6]])[None, None]

MAX_GOLDENS = [
    (X, 2, 1, 0, [[4, 5], [7, 8]], [4, 5, 7, 8]),
    (A16, 3, 3, 0, [[10]], [10]),
    (A16, 3, 2, 1, [[5, 7], [13, 15]], [5, 7, 13, 15]),
    (A16 + 1, 3, 2, 1, [[6, 8], [14, 16]], [5, 7, 13, 15]),
    (A16, (2, 3), (2, 3), (0, 1), [[5, 7], [13, 15]], [5, 7, 13, 15]),
    (C5, 2, 1, 0, [[9, 5, 5, 8], [9, 5, 5, 8]], [5, 2, 2, 9, 5, 12, 12, 9]),
    (
        M6, (3, 2), 1, 0,
        [[35, 32, 26, 27, 27], [32, 33, 33, 27, 27], [31, 34, 34, 27, 27], [36, 36, 34, 18, 18]],
        [0, 7, 3, 16, 16, 7, 20, 20, 16, 16, 12, 26, 26, 16, 16, 31, 31, 26, 34, 34],
    ),
    (
        M6, (2, 3), 1, 0,
        [[35, 32, 26, 26], [32, 32, 27, 27], [33, 33, 33, 27], [34, 34, 34, 17], [36, 36, 34, 18]],
        [0, 7, 3, 3, 7, 7, 16, 16, 20, 20, 20, 16, 26, 26, 26, 21, 31, 31, 26, 34],
    ),
    (P4, 2, 2, 0, [[8, 6], [4, 2]], [4, 7, 8, 11]),
    (P4, 2, 1, 0, [[8, 7, 6], [8, 7, 6], [4, 3, 2]], [4, 5, 7, 4, 5, 7, 8, 9, 11]),
    (P4, 3, 1, 0, [[8, 7], [8, 7]], [4, 5, 4, 5]),
    (P4, (1, 2), (1, 2), 0, [[1, 3], [8, 6], [4, 2], [0, -2]], [1, 3, 4, 7, 8, 11, 12, 14]),
    (P4, (2, 1), (2, 1), 0, [[8, 7, 5, 6], [4, 3, 1, 2]], [4, 5, 6, 7, 8, 9, 10, 11]),
    (P4, 2, 1, "same", [[8, 7, 6, 6], [8, 7, 6, 6], [4, 3, 2, 2], [0, -1, -2, -3]], None),
    (
        np.pad(np.array([[1.0, 2, 4], [2, 3, 2], [4, 2, 1]]), 2, constant_values=-np.inf), 3, 2, 0,
        [[1, 4, 4], [4, 4, 4], [4, 4, 1]], None,
    ),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", MAX_GOLDENS)
def test_max_goldens(case, dtype):
    x, kernel, stride, padding, expected, positions = case
    y, indices = F.max_pool2d(x.astype(dtype)[None, None], kernel, stride, padding, return_indices=True)
    np.testing.assert_array_equal(y[0, 0], expected)
    if positions is not None:
        np.testing.assert_array_equal(indices[0, 0].ravel(), positions)


@pytest.mark.parametrize("dtype", DTYPES)
def test_average_goldens(dtype):
    def average(x, *args, **kwargs):
        return F.avg_pool2d(np.asarray(x, dtype)[None, None], *args, **kwargs)[0, 0]

    np.testing.assert_array_equal(average(X, 2, 1), [[2, 3], [5, 6]])
    np.testing.assert_array_equal(average(P4, 2, 2), [[4, 4], [1.5, -0.5]])
    np.testing.assert_array_equal(average(P4, 2, 1), [[4, 3.75, 4], [5.5, 4, 3.5], [1.5, 0.25, -0.5]])
    twos = np.full((3, 3), 2)
    expected = [[8 / 9, 4 / 3, 8 / 9], [4 / 3, 2, 4 / 3], [8 / 9, 4 / 3, 8 / 9]]
    np.testing.assert_allclose(average(twos, 3, 1, 1), expected, rtol=1e-7 if dtype == np.float32 else 1e-15)
    np.testing.assert_array_equal(average(twos, 3, 1, 1, count_include_pad=False), twos)


def test_cs231n_golden():
    x = np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4)
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    assert (indices.reshape(6, 4) == [5, 7, 13, 15]).all()
    expected = [
        -0.26315789, -0.24842105, -0.20421053, -0.18947368, -0.14526316, -0.13052632, -0.08631579, -0.07157895,
        -0.02736842, -0.01263158, 0.03157895, 0.04631579, 0.09052632, 0.10526316, 0.14947368, 0.16421053,
        0.20842105, 0.22315789, 0.26736842, 0.28210526, 0.32631579, 0.34105263, 0.38526316, 0.4,
    ]  # fmt: skip
    np.testing.assert_allclose(y.ravel(), expected, atol=1e-8, rtol=0)


def test_backward_goldens():
    plane = [[2, 0, 0, 0], [0, 0, 0, 8], [0, 4, 0, 0], [0, 0, 6, 0]]
    indices = np.array([0, 7, 9, 14]).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(F.max_pool2d_backward(DY, indices, 4)[0, 0], plane)
    np.testing.assert_array_equal(F.max_unpool2d(DY, indices, (4, 4))[0, 0], plane)
    expected = [[0.5, 0.5, 2, 2], [0.5, 0.5, 2, 2], [1, 1, 1.5, 1.5], [1, 1, 1.5, 1.5]]
    np.testing.assert_array_equal(F.avg_pool2d_backward(DY, 4, 2)[0, 0], expected)
    indices = F.max_pool2d(P4[None, None], 2, return_indices=True)[1]
    dx = F.max_pool2d_backward(np.array([[1.0, 2], [3, 4]])[None, None], indices, 4)
    np.testing.assert_array_equal(dx[0, 0], [[0, 0, 0, 0], [1, 0, 0, 2], [3, 0, 0, 4], [0, 0, 0, 0]])


def test_ceil_mode_shapes():
    x = np.zeros((1, 1, 6, 5))
    assert F.max_pool2d(x, 3, 2, ceil_mode=True).shape[2:] == (3, 2)
    assert F.max_pool2d(x, 3, 2, 1, ceil_mode=True).shape[2:] == (4, 3)
    assert F.max_pool2d(np.zeros((1, 1, 2, 2)), 3, 2, ceil_mode=True).shape[2:] == (1, 1)


def test_maxima_of_im2col():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6))
    columns = F.im2col(x, 3, 2).reshape(2, 3, 9, -1).max(2)
    np.testing.assert_array_equal(F.max_pool2d(x, 3, 2), columns.reshape(2, 3, 3, 2))


def function(name, rank, suffix=""):
    return getattr(F, f"{name}{rank}d{suffix}")


def check_windows(x, kernel, stride, pads, dilation, ceil_mode):
    """Every pass of max and average pooling against the oracle; skips windows that see nothing."""
    rank, dtype, spatial = x.ndim - 2, x.dtype, x.shape[2:]
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    axes = oracle.sliding(spatial, kernel, stride, pads, dilation, ceil_mode)
    args = (kernel, stride, pads)
    if any(not positions for axis in axes for positions, _ in axis):
        if x.size:
            with pytest.raises(ValueError, match="max_pool"):
                function("max_pool", rank)(x, *args, dilation, ceil_mode)
        return
    expected, positions = oracle.maximum(x, axes)
    dy = np.random.default_rng(1).integers(-9, 10, expected.shape).astype(dtype)
    for view in (x, channels_last(x)):
        y, indices = function("max_pool", rank)(view, *args, dilation, ceil_mode, True)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(indices, positions)
        np.testing.assert_array_equal(function("max_pool", rank)(view, *args, dilation, ceil_mode), expected)
        assert is_channels_last(y) or y.flags.c_contiguous
    for view in (dy, channels_last(dy)):
        dx = function("max_pool", rank, "_backward")(view, positions, spatial)
        np.testing.assert_array_equal(dx, oracle.scatter(dy, positions, spatial))
    for include, override in ((True, None), (False, None), (True, 3), (False, -2)):
        options = (ceil_mode, include, override, dilation)
        for view in (x, channels_last(x)):
            y = function("avg_pool", rank)(view, *args, *options)
            np.testing.assert_allclose(y, oracle.average(x, axes, include, override), **tolerance)
        for view in (dy, channels_last(dy)):
            dx = function("avg_pool", rank, "_backward")(view, spatial, *args, *options)
            np.testing.assert_allclose(dx, oracle.average_backward(dy, spatial, axes, include, override), **tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 6, 16, 37])
@pytest.mark.parametrize("geometry", list(itertools.product((1, 2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True))))
def test_grid(geometry, channels, dtype):
    k, s, p, d, ceil_mode = geometry
    p = min(p, k // 2)
    x = np.random.default_rng(0).integers(-4, 5, (1, channels, 7, 5)).astype(dtype)
    check_windows(x, (k, k), (s, s), ((p, 0), (p, p)), (d, d), ceil_mode)


@st.composite
def geometries(draw):
    rank = draw(st.integers(1, 3))
    axis = [
        (draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 2)))
        for _ in range(rank)
    ]
    pads = tuple((draw(st.integers(0, d * (k - 1))), draw(st.integers(0, d * (k - 1)))) for _, k, _, d in axis)
    return (
        draw(st.integers(0, 2)),
        draw(st.integers(1, 20)),
        axis,
        pads,
        draw(st.booleans()),
        draw(st.sampled_from(DTYPES)),
    )


@settings(max_examples=60)
@given(geometries(), st.integers(0, 99))
def test_drawn(geometry, seed):
    n, c, axis, pads, ceil_mode, dtype = geometry
    spatial, kernel, stride, dilation = (tuple(a[i] for a in axis) for i in range(4))
    x = np.random.default_rng(seed).integers(-3, 4, (n, c, *spatial)).astype(dtype)
    fits = all(s + sum(p) >= d * (k - 1) + 1 for s, k, p, d in zip(spatial, kernel, pads, dilation, strict=True))
    if fits:
        check_windows(x, kernel, stride, pads, dilation, ceil_mode)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("out", [1, 2, 3, 5, 9, (None, 4), (7, 1)])
def test_adaptive(out, dtype):
    x = np.random.default_rng(0).integers(-50, 50, (2, 19, 7, 5)).astype(dtype)
    size = tuple(
        n if m is None else m for m, n in zip(out if isinstance(out, tuple) else (out, out), (7, 5), strict=True)
    )
    axes = oracle.adaptive((7, 5), size)
    expected, positions = oracle.maximum(x, axes)
    dy = np.random.default_rng(1).integers(-9, 10, expected.shape).astype(dtype)
    for view, grad in ((x, dy), (channels_last(x), channels_last(dy))):
        y, indices = F.adaptive_max_pool2d(view, out, return_indices=True)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(indices, positions)
        dx = F.adaptive_max_pool2d_backward(grad, indices, (7, 5))
        np.testing.assert_array_equal(dx, oracle.scatter(dy, positions, (7, 5)))
        np.testing.assert_allclose(F.adaptive_avg_pool2d(view, out), oracle.average(x, axes), rtol=1e-5, atol=1e-5)
        dx = F.adaptive_avg_pool2d_backward(grad, (7, 5))
        np.testing.assert_allclose(dx, oracle.average_backward(dy, (7, 5), axes), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 5, 40])
def test_nan_and_infinity(channels, dtype):
    values = np.array([np.nan, -np.inf, np.inf, 1.0, -1.0], dtype)
    x = np.random.default_rng(0).choice(values, (2, channels, 6, 6))
    expected, positions = oracle.maximum(x, oracle.sliding((6, 6), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)))
    for view in (x, channels_last(x)):
        y, indices = F.max_pool2d(view, 3, 2, 1, return_indices=True)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(indices, positions)
    y, indices = F.max_pool2d(np.full((1, channels, 4, 4), -np.inf, dtype), 3, 2, 1, return_indices=True)
    assert (y == -np.inf).all() and (indices[0, 0].ravel() == [0, 1, 4, 5]).all()


def test_any_array():
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 6))
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    mean = F.avg_pool2d(x, 3, 2, 1)
    for name, view in disguises(x):
        kept = view.copy()
        np.testing.assert_array_equal(F.max_pool2d(view, 2), y, name)
        np.testing.assert_array_equal(F.avg_pool2d(view, 3, 2, 1), mean, name)
        np.testing.assert_array_equal(view, kept)
    for name, view in disguises(y):
        dx = F.max_pool2d_backward(view, indices, 6)
        np.testing.assert_array_equal(dx, F.max_pool2d_backward(y, indices.astype(">i4"), 6), name)


@pytest.mark.parametrize("bad", [-(2**63), -1, 36, 2**62])
@pytest.mark.parametrize("order", [np.ascontiguousarray, channels_last])
def test_hostile_indices(bad, order):
    dy = order(np.ones((2, 5, 3, 3), np.float32))
    indices = np.zeros(dy.shape, np.int64)
    indices[1, 4, 2, 2] = bad
    for call in (
        lambda: F.max_pool2d_backward(dy, indices, 6),
        lambda: F.max_unpool2d(dy, indices, 6),
        lambda: F.max_unpool2d_backward(order(np.ones((2, 5, 6, 6))), indices),
    ):
        with pytest.raises(IndexError):
            call()


def test_refusals():
    x = np.zeros((1, 1, 4, 4), np.float32)
    huge = 0x3FFFFFFFFFFFFFFF
    for call in (
        lambda: F.adaptive_avg_pool2d(x, huge),
        lambda: F.adaptive_max_pool2d(x[:0], huge),
        lambda: F.adaptive_avg_pool2d(x, 0),
        lambda: F.max_unpool2d(x, np.zeros(x.shape, int), huge),
        lambda: F.max_pool2d_backward(x, np.zeros(x.shape, int), huge),
        lambda: F.max_pool2d(x, 2, padding=2**62),
        lambda: F.max_pool2d(x, 2, padding=2),
        lambda: F.max_pool2d(x, 5),
        lambda: F.max_pool2d(x, 0),
        lambda: F.max_pool2d(x, 2, 0),
        lambda: F.max_pool2d(x, 2, dilation=0),
        lambda: F.max_pool2d(x, 2**62),
        lambda: F.avg_pool2d(x, 2, divisor_override=0),
        lambda: F.avg_pool2d_backward(x, 4, 2),
        lambda: F.max_pool2d(x[:, :, :0], 1),
        lambda: F.max_pool1d(x, 2),
    ):
        with pytest.raises(ValueError):
            call()
    for call in (
        lambda: F.max_pool2d(x.astype(int), 2),
        lambda: F.max_pool2d(x, True),
        lambda: F.max_pool2d(x, 2.0),
        lambda: F.max_pool2d_backward(x, x, 4),
    ):
        with pytest.raises(TypeError):
            call()
    assert F.max_pool2d(x[:0], 2).shape == (0, 1, 2, 2)
    assert F.avg_pool2d(x[:, :0], 2).shape == (1, 0, 2, 2)


def test_threads_give_the_same_bits():
    x = np.random.default_rng(0).standard_normal((3, 70, 33, 31)).astype(np.float32)
    before = cconv.get_num_threads()
    try:
        for order in (np.ascontiguousarray, channels_last):
            results = []
            for threads in (1, 2, 3, 7):
                cconv.set_num_threads(threads)
                y, indices = F.max_pool2d(order(x), 3, 2, 1, return_indices=True)
                results.append(
                    (y, indices, F.avg_pool2d(order(x), 3, 1, 1), F.max_pool2d_backward(y, indices, (33, 31)),
                     F.avg_pool2d_backward(order(x), (33, 31), 3, 1, 1))
                )  # fmt: skip
            for other in results[1:]:
                for a, b in zip(results[0], other, strict=True):
                    assert a.tobytes() == b.tobytes()
    finally:
        cconv.set_num_threads(before)


def test_no_memory():
    x = np.zeros((1, 4, 8, 8), np.float32)
    indices = np.zeros((1, 4, 4, 4), np.int64)
    for call in (
        lambda: F.max_pool2d(x, 2, return_indices=True),
        lambda: F.avg_pool2d(x, 2),
        lambda: F.avg_pool2d_backward(x, 16, 2),
        lambda: F.max_pool2d_backward(x[..., :4, :4], indices, 8),
    ):
        call()
        calls = _runtime.arena_stats()["calls"]
        call()
        for successes in range(_runtime.arena_stats()["calls"] - calls):
            live = _runtime.arena_stats()["blocks"]
            _runtime.arena_fail_after(successes)
            try:
                with pytest.raises(MemoryError):
                    call()
            finally:
                _runtime.arena_fail_after(-1)
            assert _runtime.arena_stats()["blocks"] == live


@pytest.mark.parametrize("size", [2**59 - 1, 2**59 - 2, 2**58])
def test_an_empty_batch_of_huge_images_needs_no_memory(size):
    x = np.empty((0, 1, size), np.float32)
    assert F.max_pool1d(x, 1).shape == x.shape
    assert F.avg_pool1d(x, 1).shape == x.shape
    assert F.avg_pool1d_backward(x, size, 1).shape == x.shape


def test_a_window_that_does_not_fit_is_named():
    for pool in (F.max_pool2d, F.avg_pool2d):
        with pytest.raises(ValueError, match=r"x \(1, 1, 3, 3\), kernel \(5, 5\), stride \(5, 5\)"):
            pool(np.ones((1, 1, 3, 3)), 5)
