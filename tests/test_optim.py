"""Optimisers: goldens, the formulas in float64, exact resume."""

import numpy as np
import pytest
from bits import assert_same_bits

from cconv import nn, optim

# CS231n assignment 2.
W, G = np.linspace(-0.4, 0.6, 20), np.linspace(-0.6, 0.4, 20)
SGD_V = [
    0.5406, 0.55475789, 0.56891579, 0.58307368, 0.59723158, 0.61138947, 0.62554737, 0.63970526, 0.65386316, 0.66802105,
    0.68217895, 0.69633684, 0.71049474, 0.72465263, 0.73881053, 0.75296842, 0.76712632, 0.78128421, 0.79544211, 0.8096,
]  # fmt: skip
SGD_W = [
    0.1406, 0.20738947, 0.27417895, 0.34096842, 0.40775789, 0.47454737, 0.54133684, 0.60812632, 0.67491579, 0.74170526,
    0.80849474, 0.87528421, 0.94207368, 1.00886316, 1.07565263, 1.14244211, 1.20923158, 1.27602105, 1.34281053, 1.4096,
]  # fmt: skip
ADAM_M = [
    0.48, 0.49947368, 0.51894737, 0.53842105, 0.55789474, 0.57736842, 0.59684211, 0.61631579, 0.63578947, 0.65526316,
    0.67473684, 0.69421053, 0.71368421, 0.73315789, 0.75263158, 0.77210526, 0.79157895, 0.81105263, 0.83052632, 0.85,
]  # fmt: skip
ADAM_V = [
    0.69966, 0.68908382, 0.67851319, 0.66794809, 0.65738853, 0.64683452, 0.63628604, 0.6257431, 0.61520571, 0.60467385,
    0.59414753, 0.58362676, 0.57311152, 0.56260183, 0.55209767, 0.54159906, 0.53110598, 0.52061845, 0.51013645, 0.49966,
]  # fmt: skip
ADAM_W = [
    -0.40094747, -0.34836187, -0.29577703, -0.24319299, -0.19060977, -0.1380274, -0.08544591, -0.03286534, 0.01971428, 0.0722929,
    0.1248705, 0.17744702, 0.23002243, 0.28259667, 0.33516969, 0.38774145, 0.44031188, 0.49288093, 0.54544852, 0.59801459,
]  # fmt: skip


class Flat(nn.Layer):
    """Nothing but parameters."""

    def __init__(self, values):
        self.first = nn.Parameter(values[: len(values) // 3])
        self.second = nn.Parameter(values[len(values) // 3 :])


def bound(optimizer, values=W, gradient=G):
    optimizer.bind(Flat(np.array(values)))
    optimizer.grad[...] = gradient
    return optimizer


def test_golden_sgd_momentum():
    sgd = bound(optim.SGD(1e-3, momentum=0.9))
    sgd.load_state_dict({**sgd.state_dict(), "steps": 1, "momentum_buffer": -np.linspace(0.6, 0.9, 20) / 1e-3})
    sgd.step()
    np.testing.assert_allclose(-1e-3 * sgd.state["momentum_buffer"], SGD_V, atol=1e-8)
    np.testing.assert_allclose(sgd.data, SGD_W, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_golden_adam(dtype):
    adam = bound(optim.Adam(1e-2), W.astype(dtype))
    state = {"steps": 5, "exp_avg": np.linspace(0.6, 0.9, 20), "exp_avg_sq": np.linspace(0.7, 0.5, 20)}
    adam.load_state_dict({**adam.state_dict(), **state})
    adam.step()
    assert adam.data.dtype == dtype
    tolerance = 1e-8 if dtype == np.float64 else 2e-6
    np.testing.assert_allclose(adam.state["exp_avg"], ADAM_M, atol=tolerance)
    np.testing.assert_allclose(adam.state["exp_avg_sq"], ADAM_V, atol=tolerance)
    np.testing.assert_allclose(adam.data, ADAM_W, atol=tolerance)


def sgd_oracle(w, gradients, lr, momentum=0.0, weight_decay=0.0, nesterov=False, dampening=0.0):
    velocity = None
    for g in gradients:
        g = g + weight_decay * w
        velocity = g if velocity is None else momentum * velocity + (1 - dampening) * g
        w = w - lr * (g + momentum * velocity if nesterov else velocity if momentum else g)
    return w


def adam_oracle(w, gradients, lr, betas, eps, weight_decay, decoupled):
    m = v = 0
    for t, g in enumerate(gradients, 1):
        w = w * (1 - lr * weight_decay) if decoupled else w
        g = g if decoupled else g + weight_decay * w
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        w = w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


def run(optimizer, w, gradients, dtype):
    optimizer.bind(Flat(w.astype(dtype)))
    for gradient in gradients:
        optimizer.grad[...] += gradient
        optimizer.step(zero_grad=True)
        assert not optimizer.grad.any()
    return optimizer.data


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [
    {}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"momentum": 0.5, "dampening": 0.3, "weight_decay": 0.1},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
])  # fmt: skip
def test_sgd(options, dtype):
    rng = np.random.default_rng(0)
    w, gradients = rng.standard_normal(9001), rng.standard_normal((4, 9001))
    actual = run(optim.SGD(0.05, **options), w, gradients, dtype)
    np.testing.assert_allclose(
        actual, sgd_oracle(w, gradients, 0.05, **options), atol=1e-12 if dtype == np.float64 else 2e-6
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "decay"), [("Adam", 0.0), ("Adam", 0.1), ("AdamW", 0.1)])
def test_adam(kind, decay, dtype):
    rng = np.random.default_rng(0)
    w, gradients = rng.standard_normal(9001), rng.standard_normal((4, 9001))
    actual = run(getattr(optim, kind)(0.01, (0.8, 0.95), 1e-8, decay), w, gradients, dtype)
    expected = adam_oracle(w, gradients, 0.01, (0.8, 0.95), 1e-8, decay, kind == "AdamW")
    np.testing.assert_allclose(actual, expected, atol=1e-11 if dtype == np.float64 else 5e-6)


MAKERS = [lambda: optim.SGD(0.1, momentum=0.9, weight_decay=1e-3), lambda: optim.Adam(0.01), lambda: optim.AdamW(0.01)]


@pytest.mark.parametrize("make", MAKERS)
def test_resume_is_exact(make):
    rng = np.random.default_rng(0)
    w, gradients = rng.standard_normal(500), rng.standard_normal((6, 500))
    whole = run(make(), w, gradients, np.float32)
    first = make()
    half = run(first, w, gradients[:3], np.float32)
    second = make().bind(Flat(half.copy()))
    second.load_state_dict(first.state_dict())
    for gradient in gradients[3:]:
        second.grad[...] = gradient
        second.step()
    np.testing.assert_array_equal(second.data, whole)


@pytest.mark.parametrize("make", MAKERS)
def test_threads_do_not_change_bits(make):
    rng = np.random.default_rng(0)
    w, gradients = rng.standard_normal(100_003), rng.standard_normal((2, 100_003))
    assert_same_bits(lambda: [run(make(), w, gradients, np.float32)])


def test_parameters_are_views_and_lr_may_change():
    layer = nn.Linear(3, 2, rng=0)
    sgd = optim.SGD(0.5).bind(layer)
    before = layer.weight.data.copy()
    layer.weight.grad[...] = 1
    sgd.lr = 0.25
    sgd.step()
    np.testing.assert_allclose(layer.weight.data, before - 0.25)
    sgd.zero_grad()
    assert not layer.weight.grad.any()


def test_errors():
    for call in (optim.SGD().step, optim.Adam().zero_grad, optim.SGD().state_dict):
        with pytest.raises(RuntimeError, match="bind"):
            call()
    for make in (
        lambda: optim.SGD(-1), lambda: optim.SGD(0.1, momentum=-1), lambda: optim.SGD(0.1, nesterov=True),
        lambda: optim.Adam(betas=(0.9, 1.0)), lambda: optim.Adam(eps=float("nan")),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()
    sgd = bound(optim.SGD(0.1))
    with pytest.raises(ValueError, match="missing"):
        sgd.load_state_dict({"lr": 1})
    with pytest.raises(ValueError, match="momentum_buffer"):
        sgd.load_state_dict({**sgd.state_dict(), "momentum_buffer": np.zeros(3)})
