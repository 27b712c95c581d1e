"""Convolution layers and transposed convolution."""

import itertools

import numpy as np
import pytest
from bits import assert_same_bits

from cconv import functional as F
from cconv import nn
from cconv.functional.conv import prepare

Z = np.arange(4.0).reshape(1, 1, 2, 2)


def integers(rng, shape, dtype=np.float64):
    return rng.integers(-4, 5, shape).astype(dtype)


@pytest.mark.parametrize("make", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
@pytest.mark.parametrize("padding", [0, 1, "same", "full"])
def test_layer_is_the_function(make, padding):
    rng, rank = np.random.default_rng(0), make.rank
    layer = make(4, 6, 3, 2, padding, groups=2, rng=0, dtype=np.float64)
    layer.weight.data = integers(rng, layer.weight.shape)
    x = integers(rng, (2, 4) + (5, 6, 7)[:rank])
    y, backward = layer.forward(x, True)
    assert y.shape == layer.output_shape(x.shape)
    assert layer.macs(x.shape) == y.size // 6 * layer.weight.size
    dy = integers(rng, y.shape)
    layer.bias.grad = np.ones(6)
    dx = backward(dy)
    name, args = f"conv{rank}d", (2, padding, 1, 2)
    np.testing.assert_array_equal(y, getattr(F, name)(x, layer.weight.data, layer.bias.data, *args))
    np.testing.assert_array_equal(dx, getattr(F, name + "_backward_data")(dy, layer.weight.data, x.shape[2:], *args))
    dw = getattr(F, name + "_backward_weight")(x, dy, 3, *args)
    np.testing.assert_array_equal(layer.weight.grad, dw)
    np.testing.assert_array_equal(layer.bias.grad, 1 + dy.sum(axis=(0, *range(2, rank + 2))))
    assert layer.forward(x, True)[1](dy, need_dx=False) is None
    np.testing.assert_array_equal(layer.weight.grad, 2 * dw)


def test_any_memory_of_dy():
    layer = nn.Conv2d(3, 5, 3, rng=1)
    x = np.random.default_rng(0).random((2, 3, 6, 6), np.float32)
    y, backward = layer.forward(x, True)
    expected = backward(np.ones_like(y))
    np.testing.assert_array_equal(layer.forward(x, True)[1](np.broadcast_to(np.float32(1), y.shape)), expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_is_the_adjoint(rank):
    rng, size = np.random.default_rng(rank), (4, 3, 3)[:rank]
    f, fd, fw = (getattr(F, f"conv_transpose{rank}d{s}") for s in ("", "_backward_data", "_backward_weight"))
    for k, s, p, d, g, extra in itertools.product((1, 3), (1, 2), (0, 1), (1, 4), (1, 2), (0, 1, 3)):
        out = [(n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n in size]
        if extra >= max(s, d) or min(out) < 1:
            continue
        x, w = integers(rng, (2, 4, *size)), integers(rng, (4, 3) + (k,) * rank)
        y = f(x, w, None, s, p, extra, g, d)
        assert y.shape == (2, 3 * g, *out)
        dy = integers(rng, y.shape)
        total = np.sum(y * dy)
        assert total == np.sum(x * fd(dy, w, size, s, p, extra, g, d))
        assert total == np.sum(w * fw(x, dy, k, s, p, extra, g, d))


@pytest.mark.parametrize(
    "kwargs, expected",
    [
        ({}, [[0, 0, 1], [0, 4, 6], [4, 12, 9]]),
        ({"stride": 2}, [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]),
        ({"padding": 1}, [[4]]),
    ],
)
def test_transposed_published(kwargs, expected):
    assert F.conv_transpose2d(Z, Z, **kwargs)[0, 0].tolist() == expected
    layer = nn.ConvTranspose2d(1, 1, 2, bias=False, dtype=np.float64, **kwargs)
    layer.weight.data = Z
    y, backward = layer.forward(Z, True)
    assert y[0, 0].tolist() == expected and y.shape == layer.output_shape(Z.shape)
    assert backward(np.ones_like(y)).shape == Z.shape


def test_fractional_stride():
    stuffed = np.zeros((1, 1, 3, 3))
    stuffed[..., ::2, ::2] = Z
    y = F.conv2d(stuffed, Z[..., ::-1, ::-1], padding="full")
    np.testing.assert_array_equal(y, F.conv_transpose2d(Z, Z, stride=2))


def test_refused():
    for arguments, word in (
        ({"padding_mode": "mirror"}, "padding_mode"),
        ({"groups": 2}, "groups"),
        ({"algo": "fastest"}, "algo"),
        ({"padding": "some"}, "padding"),
    ):
        with pytest.raises(ValueError, match=word):
            nn.Conv2d(3, 6, 3, **arguments)
    with pytest.raises(ValueError, match="shape"):
        nn.Conv2d(3, 6, 3)(np.zeros((1, 4, 8, 8), np.float32))
    with pytest.raises(ValueError):
        nn.Conv2d(3, 6, 3)(np.zeros((3, 8, 8), np.float32))
    with pytest.raises(TypeError):
        nn.Conv2d(3, 6, 3)(np.zeros((1, 3, 8, 8)))
    with pytest.raises(ValueError, match="output_padding"):
        nn.ConvTranspose2d(3, 6, 3, output_padding=1)(np.zeros((1, 3, 4, 4), np.float32))


def lying(x, last):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if last else x


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 6, 7, 5), (2, 70, 9, 8), (1, 1, 1, 1), (5, 40, 3), (9, 3, 41, 33)])
def test_bias_gradient_behind_relu(shape, dtype, last):
    random = np.random.default_rng(0)
    channels = shape[1]
    geometry = prepare(shape, (channels, channels, *[1] * (len(shape) - 2)), dtype=dtype, channels_last=last)
    dy, y = (lying(random.standard_normal(shape).astype(dtype), last) for _ in range(2))
    gated = np.where(y > 0, dy, 0)
    axes = (0, *range(2, len(shape)))
    for expected, run in ((dy, geometry.backward_bias), (gated, lambda dy, db: geometry.backward_relu(dy, y, db))):
        db = np.ones(channels, dtype)
        dx = run(dy, db)
        np.testing.assert_allclose(db, 1 + expected.sum(axes, np.float64), rtol=1e-5, atol=1e-5)
        if dx is not None:
            np.testing.assert_array_equal(dx, gated)

    def gradient():
        db = np.zeros(channels, dtype)
        return [geometry.backward_relu(dy, y, db), db]

    assert_same_bits(gradient)
