"""The own float32 matrix product against float64."""

import itertools

import numpy as np
import pytest
from bits import assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from cconv import _gemm, _runtime

gemm = _gemm.gemm
EPS = float(np.finfo(np.float32).eps)
GUARD = 7.0

# Sizes on both sides of every block the product is cut into, in all ways it is cut.
SHAPES = [
    (100, 70, 800),  # blocks of k
    (530, 70, 800),  # and of rows
    (700, 300, 500),  # B packed for all row blocks
    (1040, 1, 300),  # one column
    (3, 520, 4100),  # scalar products
    (8, 33, 64),
    (9, 300, 500),  # the large factor on the left
    (64, 270, 130),
    (60, 64, 5000),  # a long sum in chunks
    (70, 33, 9001),
    (120, 400, 64),
    (20, 1100, 700),  # few rows against B in place
]
TRANSPOSES = list(itertools.product((False, True), repeat=2))


def operands(rng, m, n, k, trans_a, trans_b, spare=0):
    """Factors stored as asked for, in rows `spare` longer than needed, and how they look to the product."""
    a = rng.standard_normal((k, m + spare) if trans_a else (m, k + spare), np.float32)
    b = rng.standard_normal((n, k + spare) if trans_b else (k, n + spare), np.float32)
    a = a[:, : m if trans_a else k]
    b = b[:, : k if trans_b else n]
    return a, b, (a.T if trans_a else a).astype(float), (b.T if trans_b else b).astype(float)


def assert_accurate(c, expected, magnitude, k):
    """Within rounding of the sum of magnitudes element by element, and 1e-5 of the largest value."""
    error = np.abs(c - expected)
    assert (error <= 4 * np.sqrt(max(k, 1)) * EPS * (magnitude + np.abs(expected))).all()
    assert error.max(initial=0) <= 1e-5 * max(np.abs(expected).max(initial=0), magnitude.max(initial=0))


def guarded(rng, m, n):
    """A matrix inside of a larger one; the larger one."""
    whole = np.full((m + 2, n + 5), GUARD, np.float32)
    inside = whole[1:-1, 2:-3]
    inside[:] = rng.standard_normal((m, n))
    return inside, whole


def assert_guarded(inside, whole):
    inside[:] = GUARD
    assert (whole == GUARD).all()


@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSES)
def test_every_tail(trans_a, trans_b):
    rng = np.random.default_rng(1)
    rows, columns, k = 29, 65, 37
    a, b, A, B = operands(rng, rows, columns, k, trans_a, trans_b)
    expected, magnitude = A @ B, np.abs(A) @ np.abs(B)
    for m, n in itertools.product(range(1, rows + 1), range(1, columns + 1)):
        c, whole = guarded(rng, m, n)
        gemm(a[:, :m] if trans_a else a[:m], b[:n] if trans_b else b[:, :n], trans_a, trans_b, out=c)
        assert_accurate(c, expected[:m, :n], magnitude[:m, :n], k)
        assert_guarded(c, whole)


@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSES)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_blocks(m, n, k, trans_a, trans_b):
    rng = np.random.default_rng(2)
    a, b, A, B = operands(rng, m, n, k, trans_a, trans_b, spare=3)
    bias, residual = rng.standard_normal(n, np.float32), rng.standard_normal((m, n + 1), np.float32)[:, :n]
    product, magnitude = A @ B, np.abs(A) @ np.abs(B)
    for accumulate, epilogue in itertools.product((False, True), repeat=2):
        c, whole = guarded(rng, m, n)
        expected = product + c if accumulate else product
        options = {}
        if epilogue:
            expected = np.maximum(expected + bias + residual, 0)
            options = {"bias": bias, "residual": residual, "relu": True}
        gemm(a, b, trans_a, trans_b, out=c, accumulate=accumulate, **options)
        assert_accurate(c, expected, magnitude + 10, k)
        assert_guarded(c, whole)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(0, 80), st.integers(0, 140), st.integers(0, 450)),
    st.sampled_from(TRANSPOSES),
    st.integers(0, 5),
    st.booleans(),
    st.booleans(),
)
def test_any_shape(shape, transposes, spare, accumulate, relu):
    m, n, k = shape
    rng = np.random.default_rng(m * 1000003 + n * 1009 + k)
    a, b, A, B = operands(rng, m, n, k, *transposes, spare)
    bias = rng.standard_normal(n, np.float32)
    c, whole = guarded(rng, m, n)
    expected = A @ B + bias + (c if accumulate else 0)
    gemm(a, b, *transposes, out=c, accumulate=accumulate, bias=bias, relu=relu)
    assert_accurate(c, np.maximum(expected, 0) if relu else expected, np.abs(A) @ np.abs(B) + 10, k)
    assert_guarded(c, whole)


@pytest.mark.parametrize(("m", "n", "k"), [*SHAPES, (2000, 64, 64), (64, 64, 20000), (300, 500, 900)])
def test_threads_do_not_change_bits(m, n, k):
    rng = np.random.default_rng(3)
    for trans_a, trans_b in TRANSPOSES:
        a, b, _, _ = operands(rng, m, n, k, trans_a, trans_b)
        bias = rng.standard_normal(n, np.float32)
        assert_same_bits(lambda a=a, b=b, ta=trans_a, tb=trans_b: [gemm(a, b, ta, tb, bias=bias, relu=True)])  # noqa: B023


@pytest.mark.parametrize(("m", "n", "k"), [(40, 50, 60), (5, 90, 200), (9, 300, 500), (60, 64, 5000)])
def test_not_a_number_stays_where_it_is(m, n, k):
    rng = np.random.default_rng(4)
    for trans_a, trans_b in TRANSPOSES:
        a, b, _, _ = operands(rng, m, n, k, trans_a, trans_b)
        (a.T if trans_a else a)[m // 2, k // 3] = np.inf
        (b.T if trans_b else b)[k // 2, n - 1] = np.nan
        c = gemm(a, b, trans_a, trans_b, relu=True)
        assert np.isnan(c[:, -1]).all()
        others = np.delete(np.delete(c, m // 2, 0), n - 1, 1)
        assert np.isfinite(others).all()


def test_nothing_to_sum():
    out = np.ones((3, 20), np.float32)
    empty = np.empty((3, 0), np.float32), np.empty((0, 20), np.float32)
    gemm(*empty, out=out, accumulate=True, bias=np.full(20, -3, np.float32))
    assert (out == -2).all()
    gemm(*empty, out=out)
    assert (out == 0).all()


def test_no_memory_leaves_the_result():
    a = np.ones((600, 700), np.float32)
    b = np.ones((700, 300), np.float32)
    out = np.full((600, 300), GUARD, np.float32)
    _runtime.arena_fail_after(0)
    try:
        with pytest.raises(MemoryError):
            gemm(a, b, out=out)
    finally:
        _runtime.arena_fail_after(-1)
    assert (out == GUARD).all()
    assert (gemm(a, b, out=out) == 700).all()


def test_wrong_arguments():
    a, b = np.ones((4, 5), np.float32), np.ones((5, 6), np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        gemm(a, a)
    with pytest.raises(ValueError, match="out must have shape"):
        gemm(a, b, out=np.ones((4, 5), np.float32))
    with pytest.raises(ValueError, match="contiguous rows"):
        gemm(np.ones((5, 4), np.float32).T, b)
    with pytest.raises(ValueError, match="follow each other"):
        gemm(a[::-1], b)
    with pytest.raises(ValueError, match="bias"):
        gemm(a, b, bias=np.ones(5, np.float32))
    with pytest.raises(ValueError, match="residual"):
        gemm(a, b, residual=np.ones((4, 5), np.float32))
    with pytest.raises(TypeError, match="float32"):
        gemm(a.astype(float), b)
    with pytest.raises(ValueError, match="needs out"):
        gemm(a, b, accumulate=True)
    out = np.zeros((4, 6), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        gemm(a, b, out=out)


@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSES)
@pytest.mark.parametrize(("m", "n"), [(1, 1), (90, 20), (90, 300), (700, 70), (2000, 33)])
def test_sums_of_nothing(m, n, trans_a, trans_b):
    """Several tiles of rows and no step of k: what is fetched ahead was a share of none."""
    a, b, _, _ = operands(np.random.default_rng(3), m, n, 0, trans_a, trans_b)
    c = np.full((m, n), GUARD, np.float32)
    gemm(a, b, trans_a, trans_b, out=c, accumulate=True)
    assert (c == GUARD).all()
    gemm(a, b, trans_a, trans_b, out=c)
    assert not c.any()
