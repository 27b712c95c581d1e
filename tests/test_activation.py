"""Activations: SciPy in float64, derivatives by central differences, memory orders, special values."""

import numpy as np
import pytest
from bits import assert_same_bits
from scipy import special

from cconv import functional as F

ORACLES = {
    "relu": ({}, lambda x: np.maximum(x, 0)),
    "leaky_relu": ({"negative_slope": 0.2}, lambda x: np.where(x > 0, x, 0.2 * x)),
    "sigmoid": ({}, special.expit),
    "tanh": ({}, np.tanh),
    "scaled_tanh": ({}, lambda x: 1.7159 * np.tanh(2 * x / 3)),
    "elu": ({"alpha": 1.3}, lambda x: np.where(x > 0, x, 1.3 * np.expm1(np.minimum(x, 0)))),
    "gelu": ({}, lambda x: x * special.ndtr(x)),
    "silu": ({}, lambda x: x * special.expit(x)),
    "softplus": ({"beta": 0.7}, lambda x: np.logaddexp(0, 0.7 * x) / 0.7),
}
CASES = [(name, options, oracle) for name, (options, oracle) in ORACLES.items()]
CASES.append(
    ("gelu", {"approximate": "tanh"}, lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options", "oracle"), CASES)
def test_values_and_derivatives(name, options, oracle, dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal(5000) * 4, np.linspace(-30, 30, 601) + 0.01]).astype(dtype)
    dy = rng.standard_normal(x.shape).astype(dtype)
    x64 = x.astype(np.float64)
    tolerance = 2e-6 if dtype == np.float32 else 1e-14
    y = getattr(F, name)(x, **options)
    assert y.dtype == dtype
    # softplus takes x itself above its threshold
    np.testing.assert_allclose(y, oracle(x64), rtol=tolerance, atol=max(tolerance, 3e-9 * (name == "softplus")))
    slope = (oracle(x64 + 1e-6) - oracle(x64 - 1e-6)) / 2e-6
    dx = getattr(F, f"{name}_backward")(dy, x, **options)
    assert dx.dtype == dtype
    smooth = np.abs(x64) > 1e-5
    np.testing.assert_allclose(dx[smooth], (dy * slope)[smooth], atol=1e-5 if dtype == np.float32 else 3e-8)


@pytest.mark.parametrize(("name", "options", "oracle"), CASES)
def test_memory_order_is_kept(name, options, oracle):
    function, derivative = getattr(F, name), getattr(F, f"{name}_backward")
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    dy = np.ones_like(x)
    expected, slope = function(x, **options), derivative(dy, x, **options)
    for order in ((0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3)):
        other = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
        y, dx = function(other, **options), derivative(dy, other, **options)
        assert y.strides == dx.strides == other.strides
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(dx, slope)
    np.testing.assert_array_equal(function(x[:, ::2], **options), expected[:, ::2])
    np.testing.assert_array_equal(function(x.astype(">f8"), **options), expected)
    np.testing.assert_array_equal(derivative(dy[:, :, ::-1], x[:, :, ::-1], **options), slope[:, :, ::-1])


def test_relu_golden():
    y = F.relu(np.linspace(-0.5, 0.5, 12).reshape(3, 4))
    expected = [[0, 0, 0, 0], [0, 0, 0.04545455, 0.13636364], [0.22727273, 0.31818182, 0.40909091, 0.5]]
    np.testing.assert_allclose(y, expected, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype):
    x = np.array([np.nan, np.inf, -np.inf, -0.0] * 9, dtype)
    np.testing.assert_array_equal(F.relu(x), [np.nan, np.inf, 0, 0] * 9)
    for name, options, _ in CASES:
        assert np.isnan(getattr(F, name)(x, **options)[0])
    np.testing.assert_array_equal(F.sigmoid(x)[1:4], [1, 0, 0.5])
    np.testing.assert_array_equal(F.elu(x)[1:4], [np.inf, -1, 0])
    np.testing.assert_array_equal(F.softplus(x)[1:3], [np.inf, 0])


@pytest.mark.parametrize(("name", "options", "oracle"), CASES)
def test_threads_do_not_change_bits(name, options, oracle):
    x = np.random.default_rng(0).standard_normal((3, 30_011)).astype(np.float32)
    assert_same_bits(lambda: [getattr(F, name)(x, **options), getattr(F, f"{name}_backward")(x, x, **options)])


def test_any_rank_and_errors():
    assert F.relu(np.float32(-3)).shape == ()
    assert F.tanh(np.zeros((0, 3))).shape == (0, 3)
    for call, error in [
        (lambda: F.relu(np.zeros(3, int)), TypeError),
        (lambda: F.relu_backward(np.zeros(3), np.zeros(4)), ValueError),
        (lambda: F.relu_backward(np.zeros(3, np.float32), np.zeros(3)), TypeError),
        (lambda: F.gelu(np.zeros(3), "fast"), ValueError),
        (lambda: F.elu(np.zeros(3), np.nan), ValueError),
        (lambda: F.softplus(np.zeros(3), beta=0), ValueError),
    ]:
        with pytest.raises(error):
            call()
