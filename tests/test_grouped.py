"""Convolution in groups, most of a few channels, against the oracle: exact on small integers."""

import itertools

import numpy as np
import oracle_conv as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cconv
from cconv import _runtime
from cconv import functional as F
from cconv.functional.conv import prepare

PASSES = ("forward", "backward_data", "backward_weight")

# Channels of a group that every instruction set has room for.
MOST = 2


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


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


def algorithm(groups, inputs, outputs, dtype):
    """`grouped`, or what stands in for it where a group has more channels than a vector has lanes."""
    shape = (1, groups * inputs, 4, 4), (groups * outputs, inputs, 1, 1)
    names = F.conv_algorithms(*shape, groups=groups, dtype=dtype, channels_last=True)
    assert "grouped" in names or max(inputs, outputs) > MOST
    return "grouped" if "grouped" in names else "auto"


def check(n, groups, inputs, outputs, size, kernel, stride, pads, dilation, dtype, last, seed=0, algo=None):
    x, w, b, dy = arrays(n, groups, inputs, outputs, size, kernel, stride, pads, dilation, dtype, seed)
    y = oracle.forward(x, w, b, stride, pads, dilation, groups)
    dx = oracle.backward_data(dy, w, size, stride, pads, dilation, groups)
    dw = oracle.backward_weight(x, dy, kernel, stride, pads, dilation, groups)
    if last:
        x, dy = channels_last(x), channels_last(dy)
    forward, data, weight = (getattr(F, f"conv{len(size)}d{s}") for s in ("", "_backward_data", "_backward_weight"))
    args = (stride, pads, dilation, groups, algo or algorithm(groups, inputs, outputs, dtype))
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
    sizes, channels = ((6, 5, 7), (9, 4, 8), (3, 12, 11)), ((2, 2), (4, 4), (8, 8), (3, 3), (2, 5), (7, 1), (4, 8))
    for i, (k, s, d, p) in enumerate(itertools.product((1, 2, 3), (1, 2, 3), (1, 2), ((0, 0), (1, 1), (1, 2), (3, 0)))):
        size = sizes[i % 3][3 - rank :]
        if min(size) + sum(p) > d * (k - 1):
            groups = (1, 2, 4, 5, 17)[i % 5]
            check(2, groups, *channels[i % 7], size, (k,) * rank, (s,) * rank, (p,) * rank, (d,) * rank, dtype,
                  i % 2 == 0, i)  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("inputs", range(1, 17))
def test_channels(inputs, dtype):
    for outputs in (1, 2, inputs, 16):
        for groups, stride in ((1, 1), (3, 2), (8, 1), (9, 2)):
            check(
                1, groups, inputs, outputs, (7, 11), (3, 3), (stride,) * 2, ((1, 1),) * 2, (1, 1), dtype, True, groups
            )


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 7), (7, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_sizes(kernel, stride):
    for side in range(1, 15):
        pads = tuple((k // 2, k // 2) for k in kernel)
        check(1, 5, 4, 4, (side, 15 - side), kernel, (stride,) * 2, pads, (1, 1), np.float32, True, side)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("groups", "inputs", "outputs"), [(3, 80, 80), (2, 16, 130), (5, 33, 17), (7, 1, 3), (2, 600, 5)]
)
def test_pointwise(groups, inputs, outputs, stride):
    for n, size in ((1, (1, 1)), (3, (5, 7)), (2, (41, 60))):
        pads, one = ((0, 0), (0, 0)), (1, 1)
        check(n, groups, inputs, outputs, size, one, (stride,) * 2, pads, one, np.float32, True, n, "pointwise")


axis = st.tuples(
    st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(0, 4), st.integers(1, 3)
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(axis, min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9),
    st.integers(1, 9), st.sampled_from([np.float32, np.float64]), st.booleans(), st.integers(0, 2**31),
)  # fmt: skip
def test_any_geometry(axes, n, groups, inputs, outputs, dtype, last, seed):
    size, kernel, stride, before, after, dilation = zip(*axes, strict=True)
    kernel = tuple(
        min(k, (i + a + b - 1) // d + 1) for k, i, a, b, d in zip(kernel, size, before, after, dilation, strict=True)
    )
    pads = tuple(zip(before, after, strict=True))
    check(n, groups, inputs, outputs, size, kernel, stride, pads, dilation, dtype, last, seed)


def test_refused():
    """A group with more channels than any vector has lanes."""
    x, w = np.ones((1, 34, 5, 5), np.float32), np.ones((34, 17, 3, 3), np.float32)
    with pytest.raises(ValueError, match=r"'grouped' cannot do forward .*groups"):
        F.conv2d(x, w, groups=2, algo="grouped")
    assert "grouped" not in F.conv_algorithms(x.shape, w.shape, groups=2, channels_last=True)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_stays_in_its_group(bad):
    x, w = np.ones((1, 14, 8, 9), np.float32), np.ones((14, 2, 3, 3), np.float32)
    x[0, 5, 4, 4] = bad
    args = (1, 1, 1, 7, "grouped")
    y = F.conv2d(channels_last(x), w, None, *args)
    seen = np.zeros(y.shape, bool)
    seen[0, 4:6, 3:6, 3:6] = True
    np.testing.assert_array_equal(~np.isfinite(y), seen)
    np.testing.assert_array_equal(~np.isfinite(F.conv2d_backward_data(channels_last(x), w, (8, 9), *args)), seen)
    dw = F.conv2d_backward_weight(channels_last(x), np.ones_like(x), 3, *args)
    seen = np.zeros(dw.shape, bool)
    seen[4:6, 1] = True
    np.testing.assert_array_equal(~np.isfinite(dw), seen)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_on_any_number_of_threads(dtype):
    rng = np.random.default_rng(1)
    x = channels_last(rng.standard_normal((5, 40, 23, 21)).astype(dtype))
    w = rng.standard_normal((40, MOST, 3, 3)).astype(dtype)
    before, seen = cconv.get_num_threads(), {}
    try:
        for threads in (1, 2, 3, 7):
            cconv.set_num_threads(threads)
            for stride in (1, 2):
                args = (stride, 1, 1, 40 // MOST, "grouped")
                y = F.conv2d(x, w, None, *args)
                results = y, F.conv2d_backward_data(y, w, (23, 21), *args), F.conv2d_backward_weight(x, y, 3, *args)
                for which, result in zip(PASSES, results, strict=True):
                    bits = result.tobytes()
                    assert seen.setdefault((stride, which), bits) == bits, (stride, which, threads)
    finally:
        cconv.set_num_threads(before)


@pytest.mark.parametrize("inputs, outputs, stride", [(16, 130, 3), (100, 33, 1), (24, 21, 1)])
def test_same_bits_of_a_fused_ending(inputs, outputs, stride):
    """Where a row of outputs is cut differently, the same elements stand in whole vectors and in what is left over."""
    rng = np.random.default_rng(3)
    x = channels_last(rng.standard_normal((3, 3 * inputs, 16, 11)).astype(np.float32))
    w = rng.standard_normal((3 * outputs, inputs, 1, 1)).astype(np.float32)
    scale, bias = rng.standard_normal((2, 3 * outputs)).astype(np.float32)
    plan = prepare(x.shape, w.shape, stride, groups=3, channels_last=True)
    residual = channels_last(rng.standard_normal(plan.y_shape).astype(np.float32))
    before, seen = cconv.get_num_threads(), {}
    try:
        for threads in (1, 2, 3, 7):
            cconv.set_num_threads(threads)
            for used in itertools.product((False, True), repeat=3):
                ending = [array if use else None for array, use in zip((bias, residual, scale), used, strict=True)]
                bits = plan.forward(x, w, ending[0], residual=ending[1], scale=ending[2]).tobytes()
                assert seen.setdefault(used, bits) == bits, (used, threads)
    finally:
        cconv.set_num_threads(before)


def test_accuracy_of_long_sums():
    rng = np.random.default_rng(2)
    x = channels_last(rng.standard_normal((4, 16, 96, 96)).astype(np.float32) + 1)
    dy = channels_last(rng.standard_normal((4, 16, 96, 96)).astype(np.float32) + 1)
    got = F.conv2d_backward_weight(x, dy, 3, 1, 1, 1, 8, "grouped")
    exact = oracle.backward_weight(x, dy, (3, 3), (1, 1), ((1, 1),) * 2, (1, 1), 8)
    np.testing.assert_allclose(got, exact, rtol=3e-6)


def test_fused_ending():
    x, w, b, residual = arrays(2, 9, 2, 2, (7, 9), (3, 3), (1, 1), ((1, 1),) * 2, (1, 1), np.float32, 4)
    layer = cconv.nn.Conv2d(18, 18, 3, padding=1, groups=9, rng=0)
    layer.weight.data[...], layer.bias.data[...] = w, b
    y = layer.infer(channels_last(x), residual=channels_last(residual), relu=True)
    plain = oracle.forward(x, w, b, (1, 1), ((1, 1),) * 2, (1, 1), 9)
    np.testing.assert_array_equal(y, np.maximum(plain + residual, 0))


def test_no_memory():
    x, w, _, dy = arrays(2, 4, 2, 2, (9, 9), (3, 3), (1, 1), ((1, 1),) * 2, (1, 1), np.float32, 5)
    x, dy = channels_last(x), channels_last(dy)
    args = (1, 1, 1, 4, "grouped")
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
        assert successes > 2


@pytest.mark.parametrize("outputs, inputs", [(0, 0), (0, 1), (4, 0)])
def test_groups_without_channels(outputs, inputs):
    """Found by the fuzzer: choosing an algorithm divided by the channels of a group."""
    y = F.conv2d(np.zeros((2, 4 * inputs, 5, 5), np.float32), np.zeros((outputs, inputs, 3, 3), np.float32), groups=4)
    assert y.shape == (2, outputs, 3, 3) and not y.any()
