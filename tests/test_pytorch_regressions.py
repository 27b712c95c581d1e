"""Defects that PyTorch's own tests guard against, built again here with their exact values."""

import math

import numpy as np
import pytest

from cconv import functional as F
from cconv import nn


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weight_with_gaps(dtype):
    """test_conv2d_discontiguous_weight: every sum is exact."""
    x = np.ones((64, 16, 16, 16), dtype)
    weight = np.arange(0, 1, 2**-10).astype(dtype).reshape(32, 16, 1, 2)[:, :, :, ::2]
    assert not weight.flags.c_contiguous
    y = F.conv2d(x, weight)
    assert y.sum(dtype=np.float64) == 4186112.0
    np.testing.assert_array_equal(y, F.conv2d(x, weight.copy()))


@pytest.mark.parametrize("padding", [2**62, (2**62, 2**62, 2**62)])
def test_conv3d_with_values_that_overflow(padding):
    """test_conv3d_overflow_values"""
    with pytest.raises(ValueError, match="overflow|exceeds|too large"):
        F.conv3d(np.ones((1, 1, 4, 4, 4), np.float32), np.ones((1, 1, 2, 2, 2), np.float32), padding=padding)
    with pytest.raises(ValueError, match="kernel_size|overflow|dy"):
        F.conv3d_backward_weight(np.ones((1, 1, 4, 4, 4), np.float32), np.ones((1, 1, 1, 1, 1), np.float32), 2**32)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["adaptive_avg_pool", "adaptive_max_pool"])
def test_adaptive_pooling_to_a_size_that_overflows(name, rank):
    """test_adaptive_pooling_size_overflow"""
    with pytest.raises((ValueError, MemoryError)):
        getattr(F, f"{name}{rank}d")(np.ones((1, 1, *(4,) * rank), np.float32), 0x3FFFFFFFFFFFFFFF)


@pytest.mark.parametrize("count_include_pad", [True, False])
def test_average_of_windows_beyond_the_end(count_include_pad):
    """test_avg_pool2d_ceil_mode: no window is empty, so no output is 0 / 0."""
    x = np.random.default_rng(0).standard_normal((10, 16, 16, 16))
    y = F.avg_pool2d(x, (1, 2), (2, 1), (0, 1), ceil_mode=True, count_include_pad=count_include_pad)
    assert y.shape == (10, 16, 8, 17) and np.isfinite(y).all()
    for size, k, s, p in ((5, 2, 3, 1), (4, 3, 2, 1), (7, 2, 4, 1), (6, 4, 3, 2)):
        y = F.avg_pool2d(np.ones((1, 1, size, size)), k, s, p, True, count_include_pad)
        assert np.isfinite(y).all() and (count_include_pad or (y == 1).all())


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("adaptive", [False, True])
def test_maximum_of_nan_and_infinities(rank, dtype, adaptive):
    """test_max_pool_nan_inf: NaN wins, alone among -inf, too; -inf everywhere has an index inside the window."""
    if adaptive:
        maximum, backward = getattr(F, f"adaptive_max_pool{rank}d"), getattr(F, f"adaptive_max_pool{rank}d_backward")
        arguments = (1,)
    else:
        maximum, backward = getattr(F, f"max_pool{rank}d"), getattr(F, f"max_pool{rank}d_backward")
        arguments = (5, 1)
    for value in (math.nan, -math.inf):
        x = np.full((1, 1, *(5,) * rank), value, dtype)
        y, indices = maximum(x, *arguments, return_indices=True)
        np.testing.assert_array_equal(y, np.full_like(y, value))
        assert (indices == 0).all()
        dx = backward(np.ones_like(y), indices, 5)
        assert dx.sum() == 1 and dx.flat[0] == 1
        x[(0, 0, *(3,) * rank)] = -math.inf if math.isnan(value) else 1
        y, indices = maximum(x, *arguments, return_indices=True)
        np.testing.assert_array_equal(y, np.full_like(y, x[(0, 0, *(0,) * rank)] if math.isnan(value) else 1))
    x = np.full((1, 1, *(5,) * rank), -math.inf, dtype)
    x[(0, 0, *(3,) * rank)] = math.nan
    y, indices = maximum(x, *arguments, return_indices=True)
    assert np.isnan(y).all() and indices.item() == np.ravel_multi_index((3,) * rank, (5,) * rank)


def test_convolutions_that_are_invalid():
    """test_invalid_conv2d: kernels beyond the input, strides and groups that say nothing."""
    for layer, shape in (
        (nn.Conv2d(1, 1, 3, dilation=2, stride=2), (1, 1, 4, 4)),
        (nn.Conv2d(1, 33, 10, dilation=1, stride=1, padding=0), (1, 1, 1, 1)),
        (nn.Conv2d(1, 33, (2, 1), padding=(0, 1)), (1, 1, 1, 10)),
    ):
        with pytest.raises(ValueError, match="kernel_size"):
            layer(np.empty(shape, np.float32))
    for arguments in ({"stride": 0}, {"stride": -1}, {"groups": 0}, {"groups": 2}, {"dilation": 0}, {"padding": -1}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            nn.Conv2d(3, 3, 3, **arguments)


def test_unpooling_to_a_size():
    """test_MaxUnpool2d_output_size: any size that the indices fit, and its neighbours refused."""
    x = np.random.default_rng(0).standard_normal((1, 1, 6, 6)).astype(np.float32)
    pooled, indices = nn.MaxPool2d(3, 2, return_indices=True)(np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1))))
    unpool = nn.MaxUnpool2d(3, 2)
    assert unpool(pooled, indices).shape == (1, 1, 7, 7)
    assert unpool(pooled, indices, output_size=(1, 1, 7, 7)).shape == (1, 1, 7, 7)
    assert unpool(pooled, indices, output_size=(8, 9)).shape == (1, 1, 8, 9)
    with pytest.raises(IndexError):
        unpool(pooled, np.full_like(indices, 49))
    with pytest.raises(ValueError, match="output_size"):
        unpool(pooled, indices, output_size=(0, 7))


def test_average_pooling_in_double():
    """test_doubletensor_avg_pool2d: whole blocks and whole images."""
    n, m = 5, 8
    x = np.random.default_rng(0).random((1, 1, n, m))
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            y = F.avg_pool2d(x, (i, j))[0, 0]
            blocks = x[0, 0, : n // i * i, : m // j * j].reshape(n // i, i, m // j, j)
            np.testing.assert_allclose(y, blocks.mean((1, 3)), rtol=1e-14)
    assert F.avg_pool2d(x, 2, divisor_override=1).sum() == pytest.approx(x[:, :, :4].sum(), rel=1e-14)
