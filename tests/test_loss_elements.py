"""Losses of elements and of margins: gradients by central differences, torch where it is there, errors."""

import math

import numpy as np
import pytest

from cconv import functional as F
from cconv import nn

RNG = np.random.default_rng(0)
SHAPE = (3, 4, 2, 5)
SIGNS = np.where(RNG.random(SHAPE) < 0.5, 1.0, -1.0)
SHARES = RNG.random(SHAPE)
BITS = (RNG.random(SHAPE) < 0.4).astype(float)
WEIGHT = RNG.random((4, 1, 5)) + 0.5
NORMAL = RNG.standard_normal(SHAPE)
CLASSES = RNG.integers(4, size=(3, 2, 5))
CLASS_WEIGHT = np.array([1.0, 0.5, 0.0, 2.0])

# name, x, target, options
ELEMENTS = [
    ("mse_loss", NORMAL, SHARES, {}),
    ("l1_loss", NORMAL, SHARES, {}),
    ("huber_loss", 2 * NORMAL, SHARES, {"delta": 0.7}),
    ("smooth_l1_loss", 2 * NORMAL, SHARES, {"beta": 0.7}),
    ("smooth_l1_loss", NORMAL, SHARES, {"beta": 0}),
    ("binary_cross_entropy", SHARES * 0.9 + 0.05, BITS, {"weight": WEIGHT}),
    ("binary_cross_entropy", SHARES * 0.9 + 0.05, SHARES[::-1].copy(), {}),
    ("binary_cross_entropy_with_logits", 3 * NORMAL, BITS, {}),
    ("binary_cross_entropy_with_logits", 3 * NORMAL, SHARES, {"weight": WEIGHT, "pos_weight": WEIGHT[..., :1] + 1}),
    ("sigmoid_focal_loss", 3 * NORMAL, BITS, {}),
    ("sigmoid_focal_loss", 3 * NORMAL, SHARES, {"alpha": -1, "gamma": 1.5}),
    ("sigmoid_focal_loss", 3 * NORMAL, BITS, {"gamma": 0}),
    ("hinge_embedding_loss", 2 * NORMAL, SIGNS, {"margin": 0.8}),
    ("kl_div", NORMAL, SHARES, {}),
    ("kl_div", NORMAL, BITS, {}),
    ("kl_div", NORMAL, np.log(SHARES), {"log_target": True}),
]
MARGINS = [
    ("hinge_loss", NORMAL, CLASSES, {"margin": 0.7}),
    ("multi_margin_loss", NORMAL, CLASSES, {"weight": CLASS_WEIGHT}),
    ("multi_margin_loss", NORMAL, CLASSES, {"p": 2, "margin": 0.5}),
    ("focal_loss", NORMAL, CLASSES, {}),
    ("focal_loss", NORMAL, CLASSES, {"gamma": 0.5, "weight": CLASS_WEIGHT, "ignore_index": 1}),
]
CASES = [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(ELEMENTS + MARGINS)]


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@pytest.mark.parametrize(("name", "x", "target", "options"), CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradients(name, x, target, options, reduction):
    loss, derivative = getattr(F, name), getattr(F, f"{name}_backward")
    losses = loss(x, target, reduction=reduction, **options)
    each = (3, 2, 5) if target is CLASSES else SHAPE
    assert np.shape(losses) == (each if reduction == "none" else ())
    dy = RNG.standard_normal(np.shape(losses)) if reduction == "none" else 0.3
    dx = derivative(x, target, reduction=reduction, grad_output=dy, **options)
    assert dx.shape == x.shape and dx.dtype == x.dtype
    for index in RNG.permutation(x.size)[:40]:
        values = []
        for step in (1e-6, -1e-6):
            moved = x.copy()
            moved.reshape(-1)[index] += step
            values.append(np.sum(loss(moved, target, reduction=reduction, **options) * dy))
        numeric = (values[0] - values[1]) / 2e-6
        assert abs(numeric - dx.reshape(-1)[index]) < 2e-7 * max(1, abs(numeric))


@pytest.mark.parametrize(("name", "x", "target", "options"), CASES)
def test_memory_and_types(name, x, target, options):
    """Strides, byte order and read-only arrays make no difference; float32 is near float64."""
    loss, derivative = getattr(F, name), getattr(F, f"{name}_backward")
    expected, slopes = loss(x, target, **options), derivative(x, target, **options)
    frozen = x.copy()
    frozen.flags.writeable = False
    for other in (channels_last(x), x[::-1].copy()[::-1], np.asfortranarray(x), x.astype(">f8"), frozen):
        np.testing.assert_allclose(loss(other, target, **options), expected, rtol=1e-13)
        np.testing.assert_allclose(derivative(other, target, **options), slopes, rtol=1e-12, atol=1e-15)
    assert derivative(channels_last(x), target, **options).strides == channels_last(x).strides
    single = {key: value.astype("f4") if isinstance(value, np.ndarray) else value for key, value in options.items()}
    there = target.astype("f4") if target.dtype.kind == "f" else target.astype(np.uint8)
    y = loss(x.astype("f4"), there, **single)
    assert isinstance(y, float) or y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=1e-6)
    dx = derivative(x.astype("f4"), there, **single)
    assert dx.dtype == np.float32
    np.testing.assert_allclose(dx, slopes, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "x", "target", "options"), CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.filterwarnings("ignore:reduction")
def test_against_torch(name, x, target, options, reduction):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    function = getattr(torch.nn.functional, name, None)
    if function is None:
        assert name in ("hinge_loss", "focal_loss", "sigmoid_focal_loss")
        return
    if name == "multi_margin_loss":
        x, target = x[:, :, 0, 0], target[:, 0, 0]
    leaf = torch.tensor(x, requires_grad=True)
    there = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
    expected = function(leaf, torch.tensor(target), reduction=reduction, **there)
    expected.sum().backward()
    np.testing.assert_allclose(
        getattr(F, name)(x, target, reduction=reduction, **options), expected.detach(), rtol=1e-12, atol=1e-14
    )
    dx = getattr(F, f"{name}_backward")(x, target, reduction=reduction, **options)
    np.testing.assert_allclose(dx, leaf.grad, rtol=1e-11, atol=1e-14)


def test_focal_without_focus_is_cross_entropy():
    options = {"weight": CLASS_WEIGHT, "ignore_index": 1}
    np.testing.assert_allclose(F.focal_loss(NORMAL, CLASSES, 0, **options), F.cross_entropy(NORMAL, CLASSES, **options))
    np.testing.assert_allclose(
        F.focal_loss_backward(NORMAL, CLASSES, 0, **options),
        F.cross_entropy_backward(NORMAL, CLASSES, **options),
        atol=1e-14,
    )
    bce = F.binary_cross_entropy_with_logits(NORMAL, BITS, reduction="none")
    np.testing.assert_allclose(F.sigmoid_focal_loss(NORMAL, BITS, -1, 0), bce)


def test_hinge_is_the_sum_of_margins():
    x, target = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]]), np.array([0, 1, 2])
    np.testing.assert_allclose(F.hinge_loss(x, target, reduction="none"), [2.9, 0, 12.9])
    assert F.hinge_loss(x, target) == pytest.approx(3 * F.multi_margin_loss(x, target)) == pytest.approx(15.8 / 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_values(dtype):
    x = np.array([1e4, -1e4, np.inf, -np.inf, 0.0], dtype)
    one, zero = np.ones(4, dtype), np.zeros(4, dtype)
    bce = F.binary_cross_entropy_with_logits
    np.testing.assert_array_equal(bce(x[:2], zero[:2], reduction="none"), [1e4, 0])
    np.testing.assert_array_equal(bce(x[:2], one[:2], reduction="none"), [0, 1e4])
    np.testing.assert_array_equal(
        F.binary_cross_entropy_with_logits_backward(x[:4], one, reduction="sum"), [0, -1, 0, -1]
    )
    np.testing.assert_array_equal(
        F.binary_cross_entropy(np.array([0, 1], dtype), np.array([1, 0], dtype), reduction="none"), [100, 100]
    )
    assert np.isfinite(F.sigmoid_focal_loss_backward(x[:2], one[:2])).all()
    scores = np.array([[1e4, -1e4, 0]], dtype)
    assert F.focal_loss(scores, [1]) == 20000 and F.focal_loss(scores, [0]) == 0
    assert np.isfinite(F.focal_loss_backward(scores, [1])).all()
    assert math.isnan(F.l1_loss(np.array([np.nan], dtype), np.zeros(1, dtype)))


def test_classes_are_checked():
    for name in ("hinge_loss", "multi_margin_loss", "focal_loss"):
        for bad in (4, -1, -(2**63), 2**63):
            with pytest.raises(IndexError, match=str(bad)):
                getattr(F, name)(np.zeros((1, 4)), np.array([bad]))
    x = np.zeros((2, 3))
    assert math.isnan(F.focal_loss(x, np.full(2, -100))) and not F.focal_loss_backward(x, np.full(2, -100)).any()


def test_empty_and_scalar():
    none = np.zeros((0, 3))
    for name, _, _, _ in ELEMENTS:
        assert math.isnan(getattr(F, name)(none, none, reduction="mean"))
        assert getattr(F, name)(none, none, reduction="sum") == 0
        assert getattr(F, f"{name}_backward")(none, none).shape == (0, 3)
    assert F.l1_loss(np.float64(3), np.float64(1)) == 2
    assert math.isnan(F.hinge_loss(none, np.zeros(0, int)))


def test_errors():
    x = np.full((2, 3), 0.5)
    label = np.zeros(2, int)
    for call, error, message in [
        (lambda: F.l1_loss(x, x[:1]), ValueError, "target"),
        (lambda: F.l1_loss(x, x.astype("f4")), TypeError, "target"),
        (lambda: F.l1_loss(x, label), (TypeError, ValueError), "target"),
        (lambda: F.l1_loss(x, x, "average"), ValueError, "reduction"),
        (lambda: F.l1_loss(x, x, None), ValueError, "reduction"),
        (lambda: F.l1_loss_backward(x, x, "mean", np.ones(3)), ValueError, "grad_output"),
        (lambda: F.l1_loss_backward(x, x, "mean", "1"), TypeError, "grad_output"),
        (lambda: F.huber_loss(x, x, delta=0), ValueError, "delta"),
        (lambda: F.huber_loss(x, x, delta="1"), TypeError, "delta"),
        (lambda: F.smooth_l1_loss(x, x, beta=-1), ValueError, "beta"),
        (lambda: F.binary_cross_entropy(x + 1, x), ValueError, "x"),
        (lambda: F.binary_cross_entropy(x * np.nan, x), ValueError, "x"),
        (lambda: F.binary_cross_entropy(x, x, np.ones(2)), ValueError, "weight"),
        (lambda: F.binary_cross_entropy_with_logits(x, x, pos_weight=np.ones(3, "f4")), TypeError, "pos_weight"),
        (lambda: F.sigmoid_focal_loss(x, x, gamma=-1), ValueError, "gamma"),
        (lambda: F.hinge_embedding_loss(x, x), ValueError, "target"),
        (lambda: F.kl_div(x, x, log_target=1), TypeError, "log_target"),
        (lambda: F.hinge_loss(x, label.astype(float)), TypeError, "target"),
        (lambda: F.hinge_loss(x[0], label), ValueError, "x"),
        (lambda: F.multi_margin_loss(x, label, p=3), ValueError, "p must"),
        (lambda: F.multi_margin_loss(x, label, weight=np.ones(2)), ValueError, "weight"),
        (lambda: F.focal_loss(x, label[:1]), ValueError, "target"),
        (lambda: F.focal_loss(x, label, gamma=True), TypeError, "gamma"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_classes_of_nn():
    for name, x, target, options in ELEMENTS + MARGINS:
        layer = next(
            kind
            for kind in vars(nn).values()
            if isinstance(kind, type) and getattr(kind, "_function", None) is getattr(F, name)
        )
        loss = layer(**options)
        value, backward = loss.forward(x.astype("f4"), target.astype("f4") if target.dtype.kind == "f" else target)
        np.testing.assert_allclose(value, getattr(F, name)(x, target, **options), rtol=2e-5, atol=1e-6)
        assert backward().shape == x.shape and backward().dtype == np.float32
        assert repr(loss).startswith(layer.__name__)
    with pytest.raises(TypeError):
        nn.HuberLoss(beta=1)
    with pytest.raises(TypeError):
        nn.L1Loss("mean", 1, 2)
