"""Local response normalisation against a plain sum over windows and published values."""

import numpy as np
import pytest

from cconv import functional as F


def oracle(x, size, alpha, beta, k):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        window = x[:, max(c - size // 2, 0) : c + (size - 1) // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha / size * np.square(window).sum(1)) ** beta
    return y


def test_tiny_dnn():
    x = np.array([-1, 3, 2, 5.0]).reshape(1, 4, 1, 1)
    y = F.local_response_norm(x, 3, 1.5, 2, 1).reshape(4)
    np.testing.assert_allclose(y, [-1 / 36, 3 / 64, 2 / 400, 5 / 15.5**2], rtol=1e-14)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("shape", [(2, 6), (2, 5, 3), (3, 7, 2, 4), (1, 1, 2, 2), (2, 3, 2, 2, 2), (0, 3, 2, 2)])
def test_oracle(size, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    np.testing.assert_allclose(
        F.local_response_norm(x, size, 0.7, 0.6, 1.3), oracle(x, size, 0.7, 0.6, 1.3), rtol=1e-13
    )


@pytest.mark.parametrize("size", [2, 5])
def test_backward_is_the_derivative(size):
    rng = np.random.default_rng(0)
    x, dy, direction = rng.standard_normal((3, 2, 6, 3))
    step, options = 1e-6, (size, 0.7, 0.6, 1.3)
    difference = F.local_response_norm(x + step * direction, *options)
    difference -= F.local_response_norm(x - step * direction, *options)
    expected = (difference * dy).sum() / (2 * step)
    dx = F.local_response_norm_backward(dy, x, *options)
    assert abs((dx * direction).sum() - expected) < 1e-8


def test_keeps_dtype_and_order():
    x = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    first_y, last_y = F.local_response_norm(x, 3), F.local_response_norm(last, 3)
    assert first_y.dtype == last_y.dtype == np.float32
    assert first_y.flags.c_contiguous and last_y.strides == last.strides
    np.testing.assert_array_equal(first_y, last_y)


def test_refused():
    x = np.ones((1, 2, 3))
    with pytest.raises(ValueError, match="size"):
        F.local_response_norm(x, 0)
    with pytest.raises(ValueError, match="alpha"):
        F.local_response_norm(x, 3, alpha=float("nan"))
    with pytest.raises(ValueError, match="x must"):
        F.local_response_norm(x[0, 0], 3)
    with pytest.raises(TypeError):
        F.local_response_norm(x.astype(int), 3)
    with pytest.raises(ValueError, match="dy"):
        F.local_response_norm_backward(np.ones((1, 2, 2)), x, 3)
