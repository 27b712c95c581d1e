"""Memory order of convolutions: `auto` may change it on the way, never what comes out."""

import numpy as np
import pytest

from cconv import functional as F


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
