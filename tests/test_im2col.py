"""im2col and col2im against the oracle and published values."""

import itertools

import numpy as np
import oracle_conv as oracle
import pytest

import cconv
from cconv import functional as F

X = np.arange(9.0).reshape(1, 1, 3, 3)


def test_published():
    cols = F.im2col(X, 2)
    assert cols[0].tolist() == [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]
    assert (np.arange(4.0) @ cols[0]).tolist() == [19, 25, 37, 43]
    assert F.col2im(cols, 3, 2)[0, 0].tolist() == [[0, 2, 2], [6, 16, 10], [6, 14, 8]]


def test_alexnet_layer_1():
    assert F.im2col(np.zeros((1, 3, 227, 227), np.float32), 11, 4).shape == (1, 363, 3025)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_grid(rank, dtype):
    rng = np.random.default_rng(rank)
    size = (6, 5, 7)[:rank]
    for k, s, p, d in itertools.product((1, 2, 3), (1, 2, 3), ((0, 0), (1, 2), (3, 0)), (1, 2)):
        x = rng.integers(-4, 5, (2, 3, *size)).astype(dtype)
        pads = (p,) * rank
        expected = oracle.im2col(x, (k,) * rank, (s,) * rank, pads, (d,) * rank)
        last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        for view in (x, last):
            np.testing.assert_array_equal(F.im2col(view, k, s, pads, d), expected)
        cols = rng.integers(-4, 5, expected.shape).astype(dtype)
        back = F.col2im(cols, size, k, s, pads, d)
        assert back.dtype == dtype and back.shape == x.shape
        assert np.sum(back * x, dtype=np.float64) == np.sum(cols * expected, dtype=np.float64)


def test_same_bits_on_any_number_of_threads():
    cols = np.random.default_rng(0).standard_normal((3, 7 * 9, 49), np.float32)
    before, bits = cconv.get_num_threads(), set()
    try:
        for threads in (1, 2, 3, 7):
            cconv.set_num_threads(threads)
            bits.add(F.col2im(cols, (7, 7), 3, padding=1).tobytes())
    finally:
        cconv.set_num_threads(before)
    assert len(bits) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.im2col(X[0, 0], 2),
        lambda: F.im2col(X, 4),
        lambda: F.im2col(X, 2**32, padding=2**62),
        lambda: F.im2col(X, 0),
        lambda: F.col2im(np.zeros((1, 4, 5)), 3, 2),
        lambda: F.col2im(np.zeros((1, 5, 4)), 3, 2),
        lambda: F.col2im(np.zeros((1, 4, 4)), 2**62, 2),
    ],
)
def test_refused(call):
    with pytest.raises(ValueError):
        call()


def test_empty():
    assert F.im2col(np.empty((0, 2, 4, 4)), 3).shape == (0, 18, 4)
    assert F.col2im(np.empty((2, 0, 4)), 3, 2).shape == (2, 0, 3, 3)
