"""Convolution of few channels in channels-first order, against the oracle: exact on small integers."""

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


def sparse(rng, shape, dtype):
    """Small integers, most of them 0: every sum is exact."""
    return (rng.integers(-3, 4, shape) * (rng.random(shape) < 0.4)).astype(dtype)


def arrays(n, groups, inputs, outputs, size, kernel, stride, pads, dilation, dtype, seed):
    rng = np.random.default_rng(seed)
    x = sparse(rng, (n, groups * inputs, *size), dtype)
    w = sparse(rng, (groups * outputs, inputs, *kernel), dtype)
    b = sparse(rng, (groups * outputs,), dtype)
    dy = sparse(rng, (n, groups * outputs, *oracle.output_size(size, kernel, stride, pads, dilation)), dtype)
    return x, w, b, dy


def check(n, groups, inputs, outputs, size, kernel, stride, pads, dilation, dtype, seed=0):
    x, w, b, dy = arrays(n, groups, inputs, outputs, size, kernel, stride, pads, dilation, dtype, seed)
    forward, data, weight = (getattr(F, f"conv{len(size)}d{s}") for s in ("", "_backward_data", "_backward_weight"))
    args = (stride, pads, dilation, groups, "stencil")
    got = forward(x, w, b, *args)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, oracle.forward(x, w, b, stride, pads, dilation, groups))
    expected = oracle.backward_weight(x, dy, kernel, stride, pads, dilation, groups)
    np.testing.assert_array_equal(weight(x, dy, kernel, *args), expected)
    if max(stride) == 1:
        expected = oracle.backward_data(dy, w, size, stride, pads, dilation, groups)
        np.testing.assert_array_equal(data(dy, w, size, *args), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_grid(rank, dtype):
    sizes, channels = ((6, 5, 37), (9, 14, 18), (3, 12, 71)), ((1, 1), (1, 2), (3, 1), (2, 3), (1, 5), (3, 8), (2, 7))
    for i, (k, s, d, p) in enumerate(
        itertools.product((1, 2, 3, 5), (1, 2, 3), (1, 2), ((0, 0), (1, 1), (1, 2), (4, 0)))
    ):
        size = sizes[i % 3][3 - rank :]
        if min(size) + sum(p) > d * (k - 1):
            check(
                2,
                (1, 2, 3)[i % 3],
                *channels[i % 7],
                size,
                (k,) * rank,
                (s,) * rank,
                (p,) * rank,
                (d,) * rank,
                dtype,
                i,
            )


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (7, 7), (11, 11), (1, 13), (13, 1)])
@pytest.mark.parametrize("outputs", range(1, 10))
def test_kernels(kernel, outputs):
    pads = tuple((k // 2, k // 2) for k in kernel)
    for stride in (1, 2):
        check(1, 1, 1 + outputs % 3, outputs, (23, 90), kernel, (stride,) * 2, pads, (1, 1), np.float32, outputs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(300, 7), (50, 700), (1, 9000), (3, 2500)])
def test_several_blocks(size, stride, dtype):
    check(1, 1, 2, 3, size, (3, 5), (stride,) * 2, ((1, 1), (2, 2)), (1, 1), dtype)


axis = st.tuples(
    st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 6), st.integers(0, 6), st.integers(1, 3)
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(axis, min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3),
    st.integers(1, 9), st.sampled_from([np.float32, np.float64]), st.integers(0, 2**31),
)  # fmt: skip
def test_any_geometry(axes, n, groups, inputs, outputs, dtype, seed):
    size, kernel, stride, before, after, dilation = zip(*axes, strict=True)
    kernel = tuple(
        min(k, (i + a + b - 1) // d + 1) for k, i, a, b, d in zip(kernel, size, before, after, dilation, strict=True)
    )
    pads = tuple(zip(before, after, strict=True))
    check(n, groups, inputs, outputs, size, kernel, stride, pads, dilation, dtype, seed)


def test_chosen_for_images():
    """What students and image processing call."""
    for x, w in (((1, 1, 512, 512), (1, 1, 3, 3)), ((1, 3, 512, 512), (8, 3, 3, 3)), ((16, 1, 64, 64), (8, 1, 5, 5))):
        for direction in PASSES:
            assert F.conv_algorithms(x, w, padding=w[-1] // 2, direction=direction)[0] == "stencil"
    assert "stencil" not in F.conv_algorithms((1, 3, 9, 9), (8, 3, 3, 3), channels_last=True)
    assert "stencil" not in F.conv_algorithms((1, 3, 9, 9), (8, 3, 3, 3), stride=2, direction="backward_data")


def test_refused():
    """A row of windows that no block has room for."""
    x, w = np.ones((1, 1, 1, 5_000_000), np.float32), np.ones((1, 1, 1, 5_000_000), np.float32)
    with pytest.raises(ValueError, match="'stencil' cannot do forward"):
        F.conv2d(x, w, algo="stencil")


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_stays_in_its_windows(bad):
    x, w = np.ones((1, 2, 8, 37), np.float32), np.ones((3, 2, 3, 3), np.float32)
    x[0, 1, 4, 36] = x[0, 0, 0, 0] = bad
    y = F.conv2d(x, w, None, 1, 1, algo="stencil")
    seen = np.zeros(y.shape, bool)
    seen[:, :, 3:6, 35:] = seen[:, :, :2, :2] = True
    np.testing.assert_array_equal(~np.isfinite(y), seen)
    dw = F.conv2d_backward_weight(x, np.ones_like(y), 3, 1, 1, algo="stencil")
    exact = oracle.backward_weight(x, np.ones_like(y), (3, 3), (1, 1), ((1, 1),) * 2, (1, 1), 1)
    np.testing.assert_array_equal(dw, exact)
    dy, w = np.ones((1, 3, 8, 37), np.float32), np.ones((3, 2, 3, 3), np.float32)
    w[0, 0, 0, 0] = dy[0, 1, 7, 36] = bad
    exact = oracle.backward_data(dy, w, (8, 37), (1, 1), ((1, 1),) * 2, (1, 1), 1)
    np.testing.assert_array_equal(F.conv2d_backward_data(dy, w, (8, 37), 1, 1, algo="stencil"), exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_on_any_number_of_threads(dtype):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((5, 3, 123, 61)).astype(dtype), rng.standard_normal((4, 3, 3, 3)).astype(dtype)
    before, seen = cconv.get_num_threads(), {}
    try:
        for threads in (1, 2, 3, 7):
            cconv.set_num_threads(threads)
            args = (1, 1, 1, 1, "stencil")
            y = F.conv2d(x, w, None, *args)
            results = y, F.conv2d_backward_data(y, w, (123, 61), *args), F.conv2d_backward_weight(x, y, 3, *args)
            for which, result in zip(PASSES, results, strict=True):
                bits = result.tobytes()
                assert seen.setdefault(which, bits) == bits, (which, threads)
    finally:
        cconv.set_num_threads(before)


def test_accuracy_of_long_sums():
    rng = np.random.default_rng(2)
    x, dy = (rng.standard_normal((2, c, 300, 500)).astype(np.float32) + 1 for c in (1, 2))
    got = F.conv2d_backward_weight(x, dy, 3, 1, 1, algo="stencil")
    exact = oracle.backward_weight(x, dy, (3, 3), (1, 1), ((1, 1),) * 2, (1, 1), 1)
    np.testing.assert_allclose(got, exact, rtol=3e-6)


def test_no_memory():
    x, w, _, dy = arrays(2, 1, 2, 3, (9, 30), (3, 3), (1, 1), ((1, 1),) * 2, (1, 1), np.float32, 5)
    args = (1, 1, 1, 1, "stencil")
    for run in (
        lambda: F.conv2d(x, w, None, *args),
        lambda: F.conv2d_backward_data(dy, w, (9, 30), *args),
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
        assert successes > 1
