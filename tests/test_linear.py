"""Linear: NumPy in float64, goldens, adjoints, errors."""

import numpy as np
import pytest
from bits import assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from cconv import functional as F
from cconv import nn


def close(actual, expected, dtype):
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert actual.dtype == dtype and actual.shape == expected.shape
    assert np.abs(actual - expected).max(initial=0) <= tolerance * max(1, np.abs(expected).max(initial=0))


@given(
    lead=st.lists(st.integers(0, 40), min_size=0, max_size=2), inputs=st.integers(0, 300),
    outputs=st.integers(0, 300), dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60)
def test_against_numpy(lead, inputs, outputs, dtype, seed):
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal((*lead, n)).astype(dtype) for n in (inputs, outputs))
    weight, bias = rng.standard_normal((outputs, inputs)).astype(dtype), rng.standard_normal(outputs).astype(dtype)
    x64, w64, dy64 = (a.astype(np.float64) for a in (x, weight, dy))
    close(F.linear(x, weight, bias), x64 @ w64.T + bias, dtype)
    close(F.linear(x, weight), x64 @ w64.T, dtype)
    dx, dweight, dbias = F.linear_backward(dy, x, weight)
    rows = dy64.reshape(np.prod(lead, dtype=int), outputs), x64.reshape(np.prod(lead, dtype=int), inputs)
    close(dx, dy64 @ w64, dtype)
    close(dweight, rows[0].T @ rows[1], dtype)
    close(dbias, rows[0].sum(0), dtype)


def test_goldens():
    x = np.linspace(-0.1, 0.5, 240).reshape(2, 120)
    weight, bias = np.linspace(-0.2, 0.3, 360).reshape(120, 3), np.linspace(-0.3, 0.1, 3)
    expected = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    np.testing.assert_allclose(F.linear(x, weight.T, bias), expected, atol=1e-8)
    x = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(F.linear(x, np.ones((2, 4), np.float32), np.full(2, 0.5, np.float32)), [6.5, 6.5])
    np.testing.assert_array_equal(F.linear(x, np.ones((2, 4), np.float32)), [6, 6])


def test_adjoint():
    rng = np.random.default_rng(0)
    x, weight, dy = rng.standard_normal((9, 31)), rng.standard_normal((17, 31)), rng.standard_normal((9, 17))
    dx, dweight, _ = F.linear_backward(dy, x, weight)
    inner = np.vdot(F.linear(x, weight), dy)
    np.testing.assert_allclose([np.vdot(x, dx), np.vdot(weight, dweight)], inner)


def test_bias_gradient_is_summed_in_double():
    dy = np.random.default_rng(0).random((2_000_000, 2), np.float32)
    _, _, dbias = F.linear_backward(dy, np.zeros((len(dy), 1), np.float32), np.zeros((2, 1), np.float32))
    np.testing.assert_allclose(dbias, dy.sum(0, np.float64), rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_change_bits(dtype):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((300, 401)).astype(dtype), rng.standard_normal((300, 523)).astype(dtype)
    weight, bias = rng.standard_normal((523, 401)).astype(dtype), rng.standard_normal(523).astype(dtype)
    assert_same_bits(lambda: [F.linear(x, weight, bias), *F.linear_backward(dy, x, weight)])


def test_any_strides():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((4, 6)), rng.standard_normal((3, 6))
    expected = F.linear(x, weight)
    np.testing.assert_array_equal(F.linear(np.asfortranarray(x), np.asfortranarray(weight)), expected)
    np.testing.assert_array_equal(F.linear(x.astype(">f8"), np.repeat(weight, 2, 1)[:, ::2]), expected)


def test_layer():
    layer = nn.Linear(7, 3, rng=0)
    assert np.abs(layer.weight.data).max() <= 1 / np.sqrt(7) and layer.weight.dtype == np.float32
    x = np.ones((2, 7), np.float32)
    layer.weight.grad[...] = 1
    _, backward = layer.forward(x, True)
    assert backward(np.ones((2, 3), np.float32), need_dx=False) is None
    np.testing.assert_array_equal(layer.weight.grad, np.full((3, 7), 3))
    np.testing.assert_array_equal(layer.bias.grad, [2, 2, 2])
    assert layer.output_shape((5, 7)) == (5, 3) and layer.macs((5, 7)) == 105
    assert nn.Linear(2, 3, bias=False, dtype=np.float64).weight.dtype == np.float64


def test_errors():
    x, weight = np.zeros((2, 4), np.float32), np.zeros((3, 4), np.float32)
    for call, error, message in [
        (lambda: F.linear(x[:, :3], weight), ValueError, "x must have shape"),
        (lambda: F.linear(x[0, 0], weight), ValueError, "x must have shape"),
        (lambda: F.linear(x, weight[0]), ValueError, "weight"),
        (lambda: F.linear(x, weight.astype(float)), TypeError, "weight"),
        (lambda: F.linear(x, weight, np.zeros(4, np.float32)), ValueError, "bias"),
        (lambda: F.linear_backward(np.zeros((2, 4), np.float32), x, weight), ValueError, "dy"),
    ]:
        with pytest.raises(error, match=message):
            call()
