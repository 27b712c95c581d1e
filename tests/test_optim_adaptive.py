"""RMSprop, Adagrad, Adadelta, LARS: golden, the formulas in float64, torch, exact resume, bits."""

import itertools

import numpy as np
import pytest
from bits import assert_same_bits
from test_optim import Flat, G, W, bound, run

import cconv
from cconv import nn, optim

# CS231n assignment 2.
RMSPROP_V = [
    0.5976, 0.6126277, 0.6277108, 0.64284931, 0.65804321, 0.67329252, 0.68859723, 0.70395734, 0.71937285, 0.73484377,
    0.75037008, 0.7659518, 0.78158892, 0.79728144, 0.81302936, 0.82883269, 0.84469141, 0.86060554, 0.87657507, 0.8926,
]  # fmt: skip
RMSPROP_W = [
    -0.39223849, -0.34037513, -0.28849239, -0.23659121, -0.18467247, -0.132737, -0.08078555, -0.02881884, 0.02316247,
    0.07515774, 0.12716641, 0.17918792, 0.23122175, 0.28326742, 0.33532447, 0.38739248, 0.43947102, 0.49155973,
    0.54365823, 0.59576619,
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_golden_rmsprop(dtype):
    rmsprop = bound(optim.RMSprop(1e-2), W.astype(dtype))
    rmsprop.load_state_dict({**rmsprop.state_dict(), "square_avg": np.linspace(0.6, 0.9, 20)})
    rmsprop.step()
    assert rmsprop.data.dtype == dtype
    tolerance = 1e-8 if dtype == np.float64 else 1e-6
    np.testing.assert_allclose(rmsprop.state["square_avg"], RMSPROP_V, atol=tolerance)
    np.testing.assert_allclose(rmsprop.data, RMSPROP_W, atol=tolerance)
    np.testing.assert_array_equal(rmsprop.grad, G.astype(dtype))


def rmsprop_oracle(w, gradients, lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
    v = a = b = np.zeros_like(w)
    for g in gradients:
        g = g + weight_decay * w
        v, a = alpha * v + (1 - alpha) * g * g, alpha * a + (1 - alpha) * g
        b = momentum * b + g / (np.sqrt(v - a * a * centered) + eps)
        w = w - lr * b
    return w


def adagrad_oracle(w, gradients, lr=0.01, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10):
    s = np.full_like(w, initial_accumulator_value)
    for t, g in enumerate(gradients):
        g = g + weight_decay * w
        s = s + g * g
        w = w - lr / (1 + t * lr_decay) * g / (np.sqrt(s) + eps)
    return w


def adadelta_oracle(w, gradients, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0):
    v = u = np.zeros_like(w)
    for g in gradients:
        g = g + weight_decay * w
        v = rho * v + (1 - rho) * g * g
        d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
        u, w = rho * u + (1 - rho) * d * d, w - lr * d
    return w


def lars_oracle(w, gradients, lr=0.1, momentum=0.9, weight_decay=0, trust_coefficient=1e-3, eps=0):
    arrays = []
    third = len(w) // 3
    for part in (slice(third), slice(third, None)):
        p = w[part]
        v = np.zeros_like(p)
        for gradient in gradients:
            g = gradient[part]
            p_norm, g_norm = np.linalg.norm(p), np.linalg.norm(g)
            r = trust_coefficient * p_norm / (g_norm + weight_decay * p_norm + eps) if p_norm > 0 < g_norm else 1
            v = momentum * v + lr * r * (g + weight_decay * p)
            p = p - v
        arrays.append(p)
    return np.concatenate(arrays)


CASES = [
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "eps": 0.1}),
    ("RMSprop", {"centered": True, "eps": 0.1, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-2, "weight_decay": 0.1}),
    ("LARS", {}),
    ("LARS", {"lr": 3.0, "momentum": 0.0, "weight_decay": 0.1, "trust_coefficient": 0.02, "eps": 0.1}),
]  # fmt: skip
ORACLES = {
    "RMSprop": rmsprop_oracle, "Adagrad": adagrad_oracle, "Adadelta": adadelta_oracle, "LARS": lars_oracle,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_formula(kind, options, dtype):
    rng = np.random.default_rng(0)
    w, gradients = rng.standard_normal(9001), rng.standard_normal((4, 9001))
    actual = run(getattr(optim, kind)(**options), w, gradients, dtype)
    # A float32 gradient near 0 meets a root near 0.
    tolerance = 1e-9 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(actual, ORACLES[kind](w, gradients, **options), atol=tolerance)


@pytest.mark.parametrize(("kind", "options"), [case for case in CASES if case[0] != "LARS"])
def test_torch(kind, options):
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    rng = np.random.default_rng(1)
    w, gradients = rng.standard_normal(1001), rng.standard_normal((5, 1001))
    actual = run(getattr(optim, kind)(**options), w, gradients, np.float64)
    parameter = torch.nn.Parameter(torch.tensor(w))
    theirs = getattr(torch.optim, kind)([parameter], **options)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        theirs.step()
    np.testing.assert_allclose(actual, parameter.detach().numpy(), rtol=1e-11, atol=1e-11)


def test_arguments_are_torchs():
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    import inspect

    for kind in ("Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"):
        ours = inspect.signature(getattr(optim, kind)).parameters
        theirs = inspect.signature(getattr(torch.optim, kind)).parameters
        for name, parameter in ours.items():
            if name != "shared":
                assert theirs[name].default == pytest.approx(parameter.default), f"{kind}: {name}"


def test_lars_beside_nothing():
    """Arrays of zeros and gradients of zeros take the plain rate, as does what no_decay names."""
    values = np.concatenate([np.zeros(3), np.ones(6)])
    lars = bound(optim.LARS(0.5, momentum=0), values, np.ones(9))
    lars.step()
    np.testing.assert_allclose(lars.data[:3], -0.5)
    np.testing.assert_allclose(lars.data[3:], 1 - 0.5e-3)
    lars = bound(optim.LARS(0.5, momentum=0, weight_decay=0.1), np.ones(9), np.zeros(9))
    lars.step()
    np.testing.assert_allclose(lars.data, 0.95)
    layer = nn.Linear(3, 2, rng=0)
    layer.bias.data = np.ones(2)
    lars = optim.LARS(0.5, momentum=0, weight_decay=0.1, no_decay="bias").bind(layer)
    layer.bias.grad[...] = 1
    lars.step()
    np.testing.assert_allclose(layer.bias.data, 0.5)


MAKERS = [
    lambda: optim.RMSprop(0.01), lambda: optim.RMSprop(0.01, momentum=0.9, centered=True), lambda: optim.Adagrad(0.1),
    lambda: optim.Adadelta(), lambda: optim.LARS(1.0, weight_decay=1e-3),
]  # fmt: skip


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


@pytest.mark.parametrize("make", [*MAKERS, lambda: optim.SGD(0.1, clip_norm=1.0, ema=0.9)])
def test_threads_do_not_change_bits(make):
    rng = np.random.default_rng(0)
    w, gradients = rng.standard_normal(300_003), rng.standard_normal((2, 300_003))

    def compute():
        optimizer = make()
        return [run(optimizer, w, gradients, np.float32), *optimizer.state.values()]

    assert_same_bits(compute)


@pytest.mark.parametrize("make", MAKERS[:-1])
def test_same_bits_while_backward_runs(make, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 64), np.float32), rng.integers(0, 10, 20)
    results = []
    for large in (1 << 60, 0):
        monkeypatch.setattr(optim.base, "LARGE", large)
        net = nn.Sequential(nn.Linear(64, 300, rng=0), nn.ReLU(), nn.Linear(300, 10, rng=1))
        model = cconv.Model(net, optimizer=make())
        assert model._updates_in_backward == (large == 0)
        for _ in range(3):
            model.train_on_batch(x, y)
        results.append(model.optimizer.data.tobytes())
    assert results[0] == results[1]


def test_lars_and_clipping_take_the_whole_gradient(monkeypatch):
    monkeypatch.setattr(optim.base, "LARGE", 0)
    for make in (
        MAKERS[-1], lambda: optim.SGD(0.1, clip_norm=1), lambda: optim.SGD(0.1, clip_value=1),
        lambda: optim.SGD(0.1, accumulate=2),
    ):  # fmt: skip
        assert not cconv.Model(nn.Linear(3, 2, rng=0), optimizer=make())._updates_in_backward


def test_errors():
    makers = itertools.chain(
        [lambda: optim.RMSprop(alpha=1.5), lambda: optim.Adadelta(rho=-1), lambda: optim.Adagrad(lr_decay=-1)],
        [lambda: optim.LARS(trust_coefficient=float("inf")), lambda: optim.Adagrad(initial_accumulator_value=-1)],
    )
    for make in makers:
        with pytest.raises(ValueError):
            make()
