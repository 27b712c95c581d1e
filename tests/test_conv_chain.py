"""Chains of small convolutions with ReLU and pooling: Winograd's algorithm along the rows against direct convolution."""

import numpy as np
import pytest

import cconv
from cconv import nn
from cconv.nn.lanes import ConvChain

# Channels, kernel and padding of each stage, all with five taps a row; then of another size, which has no such form.
GEOMETRIES = {
    "lenet": ((1, 28, 28), [(6, 5, 2), (16, 5, 0)]),
    "colour": ((3, 32, 32), [(6, 5, 0), (16, 5, 0)]),
    "odd channels, few rows": ((1, 32, 30), [(7, 5, 2), (5, (3, 5), (1, 2)), (3, (1, 5), (0, 3))]),
    "odd sizes": ((2, 17, 23), [(3, 5, 1), (4, (2, 5), (1, 4))]),
    "three taps": ((2, 14, 14), [(4, 3, 1)]),
}


def chain_of(geometry):
    (channels, _, _), stages = geometry
    layers = []
    for out_channels, kernel, padding in stages:
        layers += [nn.Conv2d(channels, out_channels, kernel, padding=padding, rng=0), nn.ReLU(), nn.MaxPool2d(2)]
        channels = out_channels
    return ConvChain(layers)


def step(chain, x, dy):
    """y, dx and all gradients of one pass."""
    y, backward = chain.forward(x, True)
    for parameter in chain.parameters():
        parameter.grad[...] = 0
    return [y, backward(dy), *(parameter.grad.copy() for parameter in chain.parameters())]


@pytest.fixture
def exact():
    yield cconv.set_exact
    cconv.set_exact(False)


def distance(a, b):
    return np.linalg.norm(np.float64(a) - b) / max(np.linalg.norm(np.float64(b)), 1e-300)


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("batch", [1, 16, 37])
def test_near_double(name, batch):
    """Relative L2 error at most 2e-5 forward and to the input, 1e-4 to the weights."""
    geometry = GEOMETRIES[name]
    rng = np.random.default_rng(batch)
    chain = chain_of(geometry)
    layers = chain_of(geometry).layers.astype(np.float64)
    x = rng.standard_normal((batch, *geometry[0]), np.float32)
    dy = rng.standard_normal(chain.output_shape(x.shape), np.float32)
    found = step(chain, x, dy)
    y, backward = layers.forward(x.astype(np.float64), True)
    expected = [y, backward(dy.astype(np.float64)), *(parameter.grad for parameter in layers.parameters())]
    for a, b, bound in zip(found, expected, (2e-5, 2e-5, *[1e-4] * len(found)), strict=False):
        assert distance(a, b) <= bound


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e12, 1e17, 1e19, 1e30])
def test_scales(scale, exact):
    """Images of any size; where a transform might overflow, direct convolution is taken and its bits are found."""
    geometry = GEOMETRIES["lenet"]
    rng = np.random.default_rng(0)
    x = np.float32(scale) * rng.standard_normal((20, *geometry[0]), np.float32)
    chain = chain_of(geometry)
    for layer in chain.convs:
        layer.bias.data[...] = 0
    dy = rng.standard_normal(chain.output_shape(x.shape), np.float32)
    found = step(chain, x, dy)
    exact(True)
    expected = step(chain, x, dy)
    assert all(np.isfinite(a).all() for a in found)
    assert all(distance(a, b) <= 1e-5 for a, b in zip(found, expected, strict=True))
    if scale > 1e18:
        np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
def test_other_outputs_stay_finite(value, exact):
    """What one pixel, weight or gradient that is no number reaches is what it reaches in direct convolution."""
    geometry = GEOMETRIES["lenet"]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, *geometry[0]), np.float32)
    dy = rng.standard_normal((40, 16, 5, 5), np.float32)
    for place in ("x", "weight", "dy"):
        chain = chain_of(geometry)
        images, gradient = x.copy(), dy.copy()
        if place == "x":
            images[17, 0, 5, 6] = value
        elif place == "weight":
            chain.convs[1].weight.data[3, 2, 1, 1] = value
        else:
            gradient[21, 4, 2, 3] = value
        with np.errstate(all="ignore"):
            exact(False)
            found = step(chain, images, gradient)
            exact(True)
            expected = step(chain, images, gradient)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))


def test_the_same_bits_for_any_number_of_threads():
    geometry = GEOMETRIES["lenet"]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((130, *geometry[0]), np.float32)
    chain = chain_of(geometry)
    dy = rng.standard_normal(chain.output_shape(x.shape), np.float32)
    before, results = cconv.get_num_threads(), []
    for threads in (1, 2, 3, 7):
        cconv.set_num_threads(threads)
        results.append([a.tobytes() for a in step(chain, x, dy)])
    cconv.set_num_threads(before)
    assert all(result == results[0] for result in results)
