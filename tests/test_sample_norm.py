"""Layer, group and instance norm: float64 NumPy, torch, gradients, accuracy, errors."""

import numpy as np
import pytest
from bits import assert_same_bits

from cconv import functional as F
from cconv import nn
from cconv.functional._arguments import is_channels_last

EPS = 1e-3


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def normal(x, axes, eps):
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def spread(value, x):
    return value.reshape(1, -1, *(1,) * (x.ndim - 2))


def grouped(x, groups):
    return x.reshape(x.shape[0], groups, -1)


# name, what stands between x and weight, oracle of the normal x, shape of the weight
KINDS = {
    "layer1": ("layer_norm", lambda x: (x.shape[-1],), lambda x, eps: normal(x, -1, eps), lambda x: x.shape[-1:]),
    "layer": (
        "layer_norm", lambda x: (x.shape[1:],), lambda x, eps: normal(x, tuple(range(1, x.ndim)), eps), lambda x: x.shape[1:],
    ),
    "group": (
        "group_norm", lambda x: (2,), lambda x, eps: normal(grouped(x, 2), 2, eps).reshape(x.shape), lambda x: x.shape[1:2],
    ),
    "instance": (
        "instance_norm", lambda x: (), lambda x, eps: normal(x, tuple(range(2, x.ndim)), eps), lambda x: x.shape[1:2],
    ),
}  # fmt: skip
SHAPES = [(3, 4, 5), (2, 6, 7, 3), (2, 2, 3, 2, 4), (1, 130, 9, 9), (5, 2, 129)]


def combined(parameter, x, kind):
    return parameter if kind.startswith("layer") else spread(parameter, x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("last", [False, True])
def test_against_oracle(kind, shape, dtype, last):
    name, options, oracle, of_weight = KINDS[kind]
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    weight, bias = rng.standard_normal((2, *of_weight(x))).astype(dtype)
    x = channels_last(x) if last else x
    close = {"rtol": 1e-4, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-11}
    y = getattr(F, name)(x, *options(x), weight, bias, eps=EPS)
    there = oracle(x, EPS)
    np.testing.assert_allclose(y, there * combined(weight, x, kind) + combined(bias, x, kind), **close)
    assert y.dtype == dtype and is_channels_last(y) == is_channels_last(x)
    np.testing.assert_allclose(getattr(F, name)(x, *options(x), eps=EPS), there, **close)
    dx, dweight, dbias = getattr(F, f"{name}_backward")(dy, x, *options(x), weight, eps=EPS)
    assert dx.dtype == dweight.dtype == dbias.dtype == dtype and is_channels_last(dx) == is_channels_last(x)
    over = tuple(range(x.ndim - weight.ndim)) if kind.startswith("layer") else (0, *range(2, x.ndim))
    np.testing.assert_allclose(dweight, (dy * there).sum(over), **close)
    np.testing.assert_allclose(dbias, dy.sum(over, dtype=np.float64), **close)
    g = dy.astype(np.float64) * combined(weight, x, kind)
    for index in rng.permutation(x.size)[:5]:
        values = []
        for step in (1e-5, -1e-5):
            moved = np.array(x, np.float64, order="C")
            moved.reshape(-1)[index] += step
            values.append((oracle(moved, EPS) * g).sum())
        close_slope = 1e-3 if dtype == np.float32 else 1e-6
        assert abs((values[0] - values[1]) / 2e-5 - np.ascontiguousarray(dx).reshape(-1)[index]) < close_slope


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_torch(kind, shape):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    name, options, _, of_weight = KINDS[kind]
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((2, *shape))
    weight, bias = rng.standard_normal((2, *of_weight(x)))
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    there = [(size,) if name == "layer_norm" and isinstance(size, int) else size for size in options(x)]
    expected = getattr(torch.nn.functional, name)(leaves[0], *there, weight=leaves[1], bias=leaves[2])
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(getattr(F, name)(x, *options(x), weight, bias), expected.detach(), rtol=1e-9, atol=1e-11)
    for got, leaf in zip(getattr(F, f"{name}_backward")(dy, x, *options(x), weight), leaves, strict=True):
        np.testing.assert_allclose(got, leaf.grad, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("last", [False, True])
def test_accuracy(kind, last):
    name, options, oracle, _ = KINDS[kind]
    rng = np.random.default_rng(0)
    x = (1e4 + 1e-2 * rng.standard_normal((3, 4, 33, 32))).astype(np.float32)
    x = channels_last(x) if last else x
    assert np.abs(getattr(F, name)(x, *options(x)) - oracle(x, 1e-5)).max() <= 1e-5
    for value in (7.0, 0.1, -1e4):
        assert not getattr(F, name)(np.full_like(x, value), *options(x)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_threads_do_not_change_bits(kind):
    name, options, _, of_weight = KINDS[kind]
    x, dy = np.random.default_rng(0).standard_normal((2, 5, 8, 31, 33)).astype(np.float32)
    weight = np.ones(of_weight(x), np.float32)
    assert_same_bits(
        lambda: [getattr(F, name)(x, *options(x), weight), *getattr(F, f"{name}_backward")(dy, x, *options(x), weight)]
    )


def test_few_values():
    x = np.arange(6.0).reshape(3, 2, 1)
    assert not F.layer_norm(x, 1).any() and F.layer_norm(x, 1, bias=np.ones(1)).all()
    assert not F.group_norm(x, 2).any()
    dx, dweight, dbias = F.group_norm_backward(np.ones_like(x), x, 2)
    assert not dx.any() and not dweight.any() and (dbias == 3).all()
    for empty in ((0, 4, 5), (3, 0, 5)):
        x = np.zeros(empty)
        assert F.layer_norm(x, 5).shape == F.group_norm(x, 1).shape == F.instance_norm(x).shape == empty
        assert F.layer_norm_backward(x, x, 5)[0].shape == F.instance_norm_backward(x, x)[0].shape == empty
        assert F.group_norm_backward(x, x, 1)[0].shape == empty
    assert F.group_norm(np.zeros((2, 4, 0)), 2).shape == (2, 4, 0)
    assert F.layer_norm(np.zeros((2, 0)), 0).shape == (2, 0)
    assert np.isnan(F.group_norm(np.array([[np.nan, 1, 2, 3]]), 2)[0]).tolist() == [True, True, False, False]


def test_errors():
    x = np.zeros((2, 4, 5))
    for call, error, message in [
        (lambda: F.layer_norm(x, (4, 4)), ValueError, "normalized_shape"),
        (lambda: F.layer_norm(x, ()), ValueError, "normalized_shape"),
        (lambda: F.layer_norm(x, (1, 2, 4, 5)), ValueError, "normalized_shape"),
        (lambda: F.layer_norm(x, 5.0), TypeError, "normalized_shape"),
        (lambda: F.layer_norm(x, 5, np.ones(4)), ValueError, "weight"),
        (lambda: F.layer_norm(x, 5, eps=-1), ValueError, "eps"),
        (lambda: F.layer_norm(x, 5, eps="1"), TypeError, "eps"),
        (lambda: F.layer_norm_backward(x[:1], x, 5), ValueError, "dy"),
        (lambda: F.group_norm(x, 3), ValueError, "num_groups"),
        (lambda: F.group_norm(x, 0), ValueError, "num_groups"),
        (lambda: F.group_norm(x, True), TypeError, "num_groups"),
        (lambda: F.group_norm(x[:, 0, 0], 1), ValueError, "x"),
        (lambda: F.group_norm(np.zeros((1, 1)), 1), ValueError, "more than one value"),
        (lambda: F.group_norm(x, 2, np.ones(4, "f4")), TypeError, "weight"),
        (lambda: F.group_norm_backward(x[:, :1], x, 2), ValueError, "dy"),
        (lambda: F.instance_norm(x[..., :1]), ValueError, "more than one value"),
        (lambda: F.instance_norm(x.astype(int)), TypeError, "x"),
        (lambda: F.instance_norm_backward(x[:, :1], x), ValueError, "dy"),
        (lambda: nn.InstanceNorm2d(3)(np.zeros((2, 3, 1, 1))), ValueError, "InstanceNorm2d"),
        (lambda: nn.InstanceNorm2d(3)(np.zeros((2, 3, 4))), ValueError, "InstanceNorm2d"),
        (lambda: nn.GroupNorm(2, 4)(np.zeros((2, 6, 4))), ValueError, "GroupNorm"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "num_groups"),
    ]:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("train", [True, False])
def test_layers_have_torchs_state(train):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    for name, arguments, shape in [
        ("LayerNorm", ((4, 5),), (2, 3, 4, 5)),
        ("LayerNorm", (5, 1e-3, False), (2, 3, 5)),
        ("LayerNorm", (5, 1e-3, True, False), (2, 3, 5)),
        ("GroupNorm", (2, 6), (3, 6, 4)),
        ("InstanceNorm1d", (3,), (2, 3, 7)),
        ("InstanceNorm2d", (3, 1e-4, 0.2, True, True), (2, 3, 4, 5)),
        ("InstanceNorm3d", (3, 1e-4, 0.2, False, True), (2, 3, 4, 2, 5)),
    ]:
        x = rng.standard_normal(shape)
        ours, theirs = getattr(nn, name)(*arguments).astype(np.float64), getattr(torch.nn, name)(*arguments).double()
        for _ in range(2):
            expected = theirs.train(train)(torch.tensor(x)).detach()
            np.testing.assert_allclose(ours.forward(x, train)[0], expected, rtol=1e-9, atol=1e-11)
        state = ours.state_dict()
        assert list(state) == list(theirs.state_dict())
        for key, value in theirs.state_dict().items():
            if key == "num_batches_tracked":
                continue  # torch's instance norm does not count
            np.testing.assert_allclose(state[key], value, err_msg=f"{name}.{key}")
