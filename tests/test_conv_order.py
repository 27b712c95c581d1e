"""Memory order: functions may change it on the way, never what comes out."""

import numpy as np
import pytest
from bits import assert_same_bits

from cconv import functional as F
from cconv.functional._arguments import to_channels_first, to_channels_last


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_many_channels_in_any_order(size, stride):
    """Arrays as NumPy has them get the algorithms of channels-last order, and their results in their own order."""
    rng = np.random.default_rng(size)
    x = rng.standard_normal((2, 16, 13, 11)).astype(np.float32)
    w = rng.standard_normal((24, 16, size, size)).astype(np.float32)
    options = {"stride": stride, "padding": size // 2}
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    y = F.conv2d(x, w, **options)
    dx = F.conv2d_backward_data(y, w, x.shape[2:], **options)
    assert y.flags.c_contiguous and dx.flags.c_contiguous
    y_last = F.conv2d(last, w, **options)
    np.testing.assert_array_equal(y, y_last)
    np.testing.assert_array_equal(dx, F.conv2d_backward_data(y_last, w, x.shape[2:], **options))
    dw = F.conv2d_backward_weight(x, y, w.shape[2:], **options)
    np.testing.assert_array_equal(dw, F.conv2d_backward_weight(last, y_last, w.shape[2:], **options))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spatial", [(1,), (7,), (5, 13), (3, 4, 6), (40, 33)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 15, 16, 17, 31, 48, 70])
def test_from_one_order_to_the_other(channels, spatial, dtype):
    x = np.random.default_rng(channels).standard_normal((3, channels, *spatial)).astype(dtype)
    x[0, 0].flat[0] = np.nan

    def there_and_back():
        last = to_channels_last(x)
        assert np.moveaxis(last, 1, -1).flags.c_contiguous
        first = to_channels_first(last)
        assert first.flags.c_contiguous
        np.testing.assert_array_equal(last, x)
        np.testing.assert_array_equal(first, x)
        return [last, first]

    assert_same_bits(there_and_back)


def test_orders_of_what_is_given():
    """int64, too, whatever its bits; `out` takes a copy that lies as it does."""
    index = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, (2, 5, 6, 7))
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(index, 1, -1)), -1, 1)
    first = to_channels_first(last)
    assert first.flags.c_contiguous and first.dtype == np.int64
    np.testing.assert_array_equal(first, index)
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 7))
    out = np.moveaxis(np.empty((2, 6, 7, 5)), -1, 1)
    assert to_channels_last(x, out) is out
    np.testing.assert_array_equal(out, x)


POOLS = {
    "max": lambda x, **out: F.max_pool2d(x, 3, 2, 1, **out),
    "average": lambda x, **out: F.avg_pool2d(x, 3, 2, 1, **out),
    "adaptive": lambda x, **out: F.adaptive_avg_pool2d(x, 2, **out),
    "global": lambda x, **out: F.adaptive_avg_pool2d(x, 1, **out),
    "back": lambda x, **out: F.avg_pool2d_backward(x, (2 * x.shape[2] - 1, 2 * x.shape[3] - 1), 3, 2, 1, **out),
    "softmax": lambda x, **out: F.softmax(x, 1, **out),
    "log_softmax_backward": lambda x, **out: F.log_softmax_backward(x, -np.abs(x), 1, **out),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("channels", [3, 16, 40])
def test_functions_in_any_order(name, channels):
    """Many channels change their order on the way; results and `out` have that of the argument."""
    x = np.random.default_rng(channels).standard_normal((2, channels, 9, 8)).astype(np.float32)
    last = to_channels_last(x)
    y, y_last = POOLS[name](x), POOLS[name](last)
    assert y.flags.c_contiguous and np.moveaxis(y_last, 1, -1).flags.c_contiguous
    np.testing.assert_allclose(y, y_last, rtol=1e-6, atol=1e-7)
    for out in (np.empty_like(y), to_channels_last(np.zeros_like(y)), np.zeros((*y.shape, 2), np.float32)[..., 0]):
        assert POOLS[name](x, out=out) is out
        np.testing.assert_array_equal(out, y)


def test_places_of_maxima_in_any_order():
    x = np.random.default_rng(0).standard_normal((2, 40, 9, 8)).astype(np.float32)
    y, index = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert y.flags.c_contiguous and index.flags.c_contiguous and index.dtype == np.int64
    np.testing.assert_array_equal(
        np.take_along_axis(x.reshape(2, 40, 72), index.reshape(2, 40, -1), 2), y.reshape(2, 40, -1)
    )
    assert F.max_pool2d_backward(np.ones_like(y), index, x.shape[2:]).sum() == y.size
