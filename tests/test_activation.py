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
    "relu6": ({}, lambda x: np.clip(x, 0, 6)),
    "selu": ({}, lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))),
    "celu": ({"alpha": 1.3}, lambda x: np.where(x > 0, x, 1.3 * np.expm1(np.minimum(x, 0) / 1.3))),
    "mish": ({}, lambda x: x * np.tanh(np.logaddexp(0, x))),
    "softsign": ({}, lambda x: x / (1 + np.abs(x))),
    "logsigmoid": ({}, special.log_expit),
    "hardtanh": ({"min_val": -1.5, "max_val": 2.5}, lambda x: np.clip(x, -1.5, 2.5)),
    "hardsigmoid": ({}, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    "hardswish": ({}, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
}
CASES = [(name, options, oracle) for name, (options, oracle) in ORACLES.items()]
CASES.append(("hardsigmoid", {"alpha": 0.2, "beta": 0.4}, lambda x: np.clip(0.2 * x + 0.4, 0, 1)))
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
    for name in ("silu", "gelu", "mish", "hardswish"):
        np.testing.assert_array_equal(getattr(F, name)(x)[1:4], [np.inf, 0, 0], name)
        np.testing.assert_array_equal(getattr(F, f"{name}_backward")(np.ones_like(x), x)[1:3], [1, 0], name)
    np.testing.assert_array_equal(F.gelu_backward(np.ones_like(x), x, "tanh")[1:3], [1, 0])
    np.testing.assert_array_equal(F.softsign(x)[1:3], [1, -1])
    np.testing.assert_array_equal(F.logsigmoid(np.array([1e4, -1e4], dtype)), [0, -1e4])
    np.testing.assert_array_equal(F.softplus(np.array([800.0], dtype), threshold=1e4), [800])
    for name in ("relu6", "hardtanh", "hardsigmoid"):
        np.testing.assert_array_equal(
            getattr(F, name)(x)[1:3], [getattr(F, name)(x + 1e30)[1], F.hardtanh(x)[2] * (name == "hardtanh")]
        )


def test_threshold():
    x = np.array([-1, 0.5, 0.5000001, 2, np.nan])
    np.testing.assert_array_equal(F.threshold(x, 0.5, 20), [20, 20, 0.5000001, 2, np.nan])
    np.testing.assert_array_equal(F.threshold_backward(np.ones(5), x, 0.5), [0, 0, 1, 1, 1])


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3), (7,), ()])
@pytest.mark.parametrize("channels", [1, 3])
def test_prelu(shape, channels):
    if channels > 1 and len(shape) < 2:
        return
    rng = np.random.default_rng(0)
    x, dy = np.array(rng.standard_normal((2, *shape)))
    x = x.T.copy().T
    weight = rng.standard_normal(channels)
    spread = weight[0] if channels == 1 else weight.reshape(-1, *(1,) * (len(shape) - 2))
    y = F.prelu(x, weight)
    assert y.strides == x.strides and y.dtype == F.prelu(x.astype("f4"), weight.astype("f4")).astype("f8").dtype
    np.testing.assert_allclose(y, np.where(x > 0, x, spread * x))
    dx, dweight = F.prelu_backward(dy, x, weight)
    np.testing.assert_allclose(dx, np.where(x > 0, dy, spread * dy))
    inner = np.where(x > 0, 0, x * dy)
    over = tuple(axis for axis in range(x.ndim) if axis != 1)
    np.testing.assert_allclose(dweight, [inner.sum()] if channels == 1 else inner.sum(over))
    with pytest.raises(ValueError, match="weight"):
        F.prelu(x, np.ones(5))


def test_against_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = np.concatenate([np.linspace(-8, 8, 65), [1e4, -1e4, np.inf, 0.0, -0.0, np.nan]])
    special_options = {"threshold": {"threshold": 0.5, "value": 3.0}, "prelu": {"weight": np.array([0.2])}}
    for name in (name for name in F.activation.__all__ if not name.endswith("_backward") and name != "scaled_tanh"):
        options = special_options.get(name, {})
        leaf = torch.tensor(x, requires_grad=True)
        there = {key: torch.tensor(v) if isinstance(v, np.ndarray) else v for key, v in options.items()}
        expected = getattr(torch.nn.functional, name)(leaf, **there)
        expected.sum().backward()
        known = np.isfinite(x) | ~np.isnan(expected.detach().numpy())  # torch's softsign of inf is NaN
        y = getattr(F, name)(x, **options)
        np.testing.assert_allclose(y[known], expected.detach()[known], rtol=1e-12, atol=1e-15, err_msg=name)
        options.pop("value", None)
        dx = getattr(F, f"{name}_backward")(np.ones_like(x), x, **options)
        dx, there = dx[0] if name == "prelu" else dx, leaf.grad.numpy()
        finite = np.isfinite(there) & np.isfinite(x)  # torch's gradients at infinity are not the limits
        rtol = 5e-8 if name == "hardsigmoid" else 1e-12  # torch rounds its 1/6 to float32
        np.testing.assert_allclose(dx[finite], there[finite], rtol=rtol, atol=1e-15, err_msg=name)


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
        (lambda: F.elu(np.zeros(3), "1"), TypeError),
        (lambda: F.elu(np.zeros(3), True), TypeError),
        (lambda: F.elu(np.zeros(3), 10**400), ValueError),
        (lambda: F.celu(np.zeros(3), 0.0), ValueError),
        (lambda: F.hardtanh(np.zeros(3), 1, -1), ValueError),
        (lambda: F.prelu_backward(np.zeros(3), np.zeros(4), np.zeros(1)), ValueError),
        (lambda: F.softplus(np.zeros(3), beta=0), ValueError),
    ]:
        with pytest.raises(error):
            call()
