"""Softmax and losses: oracle, goldens, stability, errors."""

import math

import numpy as np
import oracle_loss
import pytest
from bits import assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from cconv import functional as F
from cconv import nn

TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-11}


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def close(actual, expected, dtype):
    tolerance = TOLERANCE[np.dtype(dtype)]
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("last", [False, True])
def test_softmax(dtype, axis, last):
    rng = np.random.default_rng(0)
    x, dy = (5 * rng.standard_normal((2, 3, 7, 4, 5))).astype(dtype)
    x = channels_last(x) if last else x
    expected = oracle_loss.log_softmax(x, axis)
    p, log_p = F.softmax(x, axis), F.log_softmax(x, axis)
    assert p.dtype == dtype and p.strides == log_p.strides == x.strides
    close(p, np.exp(expected), dtype)
    close(log_p, expected, dtype)
    p64 = np.exp(expected)
    close(F.softmax_backward(dy, p, axis), p64 * (dy - (p64 * dy).sum(axis, keepdims=True)), dtype)
    close(F.log_softmax_backward(dy, log_p, axis), dy - p64 * dy.sum(axis, keepdims=True, dtype=np.float64), dtype)


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 12)), spatial=st.lists(st.integers(1, 4), max_size=2),
    dtype=st.sampled_from([np.float32, np.float64]), reduction=st.sampled_from(["mean", "sum", "none"]),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]), weighted=st.booleans(), soft=st.booleans(), last=st.booleans(),
    ignored=st.booleans(), labels=st.sampled_from([np.int8, np.uint8, np.int32, np.uint64, ">i8"]),
    seed=st.integers(0, 999),
)  # fmt: skip
@settings(max_examples=120)
def test_cross_entropy(shape, spatial, dtype, reduction, smoothing, weighted, soft, last, ignored, labels, seed):
    rng = np.random.default_rng(seed)
    shape = (*shape, *spatial)
    logits = (4 * rng.standard_normal(shape)).astype(dtype)
    weight = (rng.random(shape[1]) + 0.1).astype(dtype) if weighted else None
    target = rng.integers(shape[1], size=shape[:1] + shape[2:]).astype(labels)
    if soft:
        target = rng.random(shape).astype(dtype)
    ignore_index = -100
    if ignored and not soft and shape[1] > 1:
        ignore_index = 0
        target.reshape(-1)[0] = 1
    options = {"weight": weight, "ignore_index": ignore_index, "reduction": reduction, "label_smoothing": smoothing}
    expected, gradient = oracle_loss.cross_entropy(logits, target, **options)
    array = channels_last(logits) if last else logits
    loss = F.cross_entropy(array, target, **options)
    both = F.cross_entropy_forward(array, target, **options)
    assert isinstance(loss, float) or (reduction == "none" and loss.dtype == dtype)
    close(loss, expected, dtype)
    np.testing.assert_array_equal(loss, both[0])
    close(both[1], gradient, dtype)
    assert both[1].dtype == dtype and both[1].strides == array.strides
    close(F.cross_entropy_backward(array, target, grad_output=0.5, **options), gradient / 2, dtype)
    if not soft and smoothing == 0:
        options.pop("label_smoothing")
        close(F.nll_loss(F.log_softmax(array), target, **options), expected, dtype)


def test_nll_gradient():
    log_p = np.log(np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]))
    gradient = F.nll_loss_backward(log_p, np.array([1, -100, 0]))
    np.testing.assert_allclose(gradient, [[0, -0.5], [0, 0], [-0.5, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_goldens(dtype):
    for classes, expected in ((10, 2.302585093), (1000, 6.907755279)):
        close(F.cross_entropy(np.zeros((3, classes), dtype), [0, 1, 2]), expected, np.float32)
        if dtype == np.float64:
            assert abs(F.cross_entropy(np.zeros((3, classes)), [0, 1, 2]) - expected) < 1e-9
    x = np.array([[1, 2, 3]], dtype)
    np.testing.assert_allclose(F.softmax(x), [[0.09003057, 0.24472847, 0.66524096]], rtol=1e-5)
    for label, expected in ((2, 0.40760596), (0, 2.40760596)):
        np.testing.assert_allclose(F.cross_entropy(x, [label]), expected, rtol=1e-5)
    loss, gradient = F.cross_entropy_forward(np.repeat(x, 2, 0), [2, 0])
    expected = np.array([[0.04501529, 0.12236424, -0.16737952], [-0.45498471, 0.12236424, 0.33262048]])
    np.testing.assert_allclose(loss, 1.40760596, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    loss, gradient = F.cross_entropy_forward(np.repeat(x, 2, 0), [2, 0], reduction="sum")
    np.testing.assert_allclose(loss, 2 * 1.40760596, rtol=1e-5)
    np.testing.assert_allclose(gradient, 2 * expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_logits(dtype):
    x = np.array([[1e4, -1e4]], dtype)
    assert F.cross_entropy(x, [1]) == 20000.0
    assert F.cross_entropy(x, [0]) == 0.0
    np.testing.assert_array_equal(F.softmax(x), [[1, 0]])
    masked = np.array([[0, -np.inf, 0]], dtype)
    np.testing.assert_allclose(F.cross_entropy(masked, [0]), math.log(2), rtol=1e-6)
    assert np.isnan(F.cross_entropy(np.array([[np.nan, 0]], dtype), [1]))
    assert np.isnan(F.softmax(np.array([[np.nan, 0]], dtype))).all()


def test_mean_of_many():
    n = 3_000_000
    logits = np.zeros((n, 2), np.float32)
    assert abs(F.cross_entropy(logits, np.zeros(n, np.int8)) / math.log(2) - 1) < 1e-7
    assert (
        abs(F.mse_loss(np.full(n, 0.1, np.float32), np.zeros(n, np.float32)) / np.float64(np.float32(0.1)) ** 2 - 1)
        < 1e-9
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("last", [False, True])
def test_squared_error(dtype, last):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 4, 50, 40)).astype(dtype)
    a = channels_last(a) if last else a
    d = a.astype(np.float64) - b
    close(F.mse_loss(a, b), np.mean(d * d), dtype)
    close(F.mse_loss(a, b, "sum"), np.sum(d * d), dtype)
    close(F.mse_loss(a, b, "none"), d * d, dtype)
    close(F.mse_loss_backward(a, b), 2 * d / d.size, dtype)
    close(F.mse_loss_backward(a, b, "sum"), 2 * d, dtype)


@pytest.mark.parametrize("last", [False, True])
def test_threads_do_not_change_bits(last):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((37, 11, 23, 9)).astype(np.float32)
    x = channels_last(x) if last else x
    target = rng.integers(11, size=(37, 23, 9))
    assert_same_bits(
        lambda: [*F.cross_entropy_forward(x, target, label_smoothing=0.1), F.softmax(x), F.mse_loss(x, x[::-1].copy())]
    )


@pytest.mark.parametrize("shape", [(2, 21, 9, 23), (1, 5, 130), (3, 2, 64), (2, 300, 3, 7)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_columns_agree_with_rows(shape, smoothing):
    """Channels-first, positions are columns, of which vectors are made; a NaN stays in its own."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32) * np.float32(5)
    x[rng.random(shape) < 0.02] = -np.inf
    x[:, 0] = rng.standard_normal(x[:, 0].shape)
    x[0, 1].flat[5] = np.nan
    target = rng.integers(0, 2, (shape[0], *shape[2:]))
    target[np.isneginf(np.take_along_axis(x, target[:, None], 1)[:, 0])] = 0
    target[0].flat[:6] = -100
    options = {"weight": rng.random(shape[1]).astype(np.float32), "reduction": "none", "label_smoothing": smoothing}
    with np.errstate(invalid="ignore"):
        losses, gradients = zip(
            *(F.cross_entropy_forward(a, target, **options) for a in (x, channels_last(x))), strict=True
        )
        soft = [[f(a) for f in (F.softmax, F.log_softmax)] for a in (x, channels_last(x))]
    np.testing.assert_allclose(*losses, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)
    assert not losses[0][0].flat[5] and not gradients[0][0].reshape(shape[1], -1)[:, 5].any()
    for first, last in zip(*soft, strict=True):
        np.testing.assert_allclose(first, last, rtol=2e-6, atol=2e-6)
    for backward, y in zip((F.softmax_backward, F.log_softmax_backward), soft[0], strict=True):
        np.testing.assert_allclose(
            backward(dy, y), backward(channels_last(dy), channels_last(y)), rtol=1e-5, atol=1e-5 * shape[1]
        )
    assert_same_bits(lambda: [*F.cross_entropy_forward(x, target, **options), *soft[0]])


def test_layers():
    rng = np.random.default_rng(0)
    x, target, weight = rng.standard_normal((4, 3)), np.array([0, 2, 1, 1]), [1.0, 2.0, 0.5]
    loss, backward = nn.CrossEntropyLoss(weight, label_smoothing=0.1).forward(x, target)
    expected, gradient = oracle_loss.cross_entropy(x, target, np.array(weight), label_smoothing=0.1)
    np.testing.assert_allclose(loss, expected)
    np.testing.assert_allclose(backward(), gradient)
    assert nn.CrossEntropyLoss(weight, label_smoothing=0.1)(x, target) == loss
    loss, backward = nn.MSELoss().forward(x, x + 1)
    assert loss == pytest.approx(1) and np.allclose(backward(), -2 / 12)
    loss, backward = nn.NLLLoss().forward(F.log_softmax(x), target)
    assert loss == pytest.approx(F.cross_entropy(x, target)) and backward().shape == x.shape


def test_labels_are_checked():
    x = np.zeros((3, 4), np.float32)
    for label in (4, -1, 2**40, -(2**63)):
        with pytest.raises(IndexError, match=str(label)):
            F.cross_entropy(x, np.array([0, label, 1]))
    with pytest.raises(IndexError, match=str(2**64 - 100)):
        F.cross_entropy(x, np.array([0, 2**64 - 100, 1], np.uint64))
    with pytest.raises(IndexError, match="4"):
        F.cross_entropy(np.zeros((2, 4, 3)), np.full((2, 3), 4))


def test_all_ignored():
    loss, gradient = F.cross_entropy_forward(np.ones((2, 3)), np.full(2, -100))
    assert math.isnan(loss) and not gradient.any()
    assert F.cross_entropy(np.ones((2, 3)), np.full(2, -100), reduction="sum") == 0


def test_errors():
    x = np.zeros((3, 4), np.float32)
    for call, error, message in [
        (lambda: F.cross_entropy(x, np.zeros(2, int)), ValueError, "target"),
        (lambda: F.cross_entropy(x, np.zeros((3, 5), np.float32)), ValueError, "target"),
        (lambda: F.cross_entropy(x, np.zeros((3, 4))), TypeError, "target"),
        (lambda: F.cross_entropy(x, np.zeros(3, bool)), TypeError, "target"),
        (lambda: F.cross_entropy(x, np.zeros(3, int), np.ones(3, np.float32)), ValueError, "weight"),
        (lambda: F.cross_entropy(x, np.zeros(3, int), reduction="max"), ValueError, "reduction"),
        (lambda: F.cross_entropy(x, np.zeros(3, int), label_smoothing=2), ValueError, "label_smoothing"),
        (lambda: F.cross_entropy(x[0], np.zeros((), int)), ValueError, "logits"),
        (lambda: F.cross_entropy(x.astype(int), np.zeros(3, int)), TypeError, "logits"),
        (lambda: F.softmax(x, 2), ValueError, "dim"),
        (lambda: F.mse_loss(x, x[:1]), ValueError, "target"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_empty():
    assert F.softmax(np.zeros((0, 3))).shape == (0, 3)
    assert F.softmax(np.zeros((3, 0))).shape == (3, 0)
    assert math.isnan(F.cross_entropy(np.zeros((0, 3)), np.zeros(0, int)))
    assert F.cross_entropy(np.zeros((0, 3)), np.zeros(0, int), reduction="sum") == 0
