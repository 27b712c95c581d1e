"""Pooling layers: contract, gradients, unpooling."""

import numpy as np
import pytest
from contract import channels_last, check_layer
from gradients import check_gradients, separated

import cconv.functional as F
from cconv import nn

LAYERS = [
    (lambda: nn.MaxPool1d(2), (2, 3, 7)),
    (lambda: nn.MaxPool2d(2), (2, 5, 6, 6)),
    (lambda: nn.MaxPool2d(3, 2, 1), (2, 18, 7, 6)),
    (lambda: nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True), (2, 3, 8, 9)),
    (lambda: nn.MaxPool2d(2, 1, "same"), (2, 3, 4, 5)),
    (lambda: nn.MaxPool2d(17, 1), (1, 2, 18, 18)),
    (lambda: nn.MaxPool3d(2), (2, 3, 4, 4, 5)),
    (lambda: nn.AvgPool1d(3, 2, 1), (2, 3, 7)),
    (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 5, 6, 6)),
    (lambda: nn.AvgPool2d(2, divisor_override=3), (2, 5, 6, 6)),
    (lambda: nn.AvgPool3d(2), (2, 3, 4, 4, 5)),
    (lambda: nn.AdaptiveAvgPool1d(3), (2, 3, 7)),
    (lambda: nn.AdaptiveAvgPool2d((None, 2)), (2, 18, 7, 5)),
    (lambda: nn.AdaptiveAvgPool2d(1), (2, 18, 7, 5)),
    (lambda: nn.AdaptiveAvgPool3d(2), (2, 3, 4, 4, 5)),
    (lambda: nn.AdaptiveMaxPool1d(3), (2, 3, 7)),
    (lambda: nn.AdaptiveMaxPool2d(3), (2, 5, 7, 5)),
    (lambda: nn.AdaptiveMaxPool3d(2), (2, 3, 4, 4, 5)),
]


@pytest.mark.parametrize("make, shape", LAYERS)
def test_contract(make, shape):
    check_layer(make, shape)


@pytest.mark.parametrize("make, shape", LAYERS)
def test_gradients(make, shape):
    check_gradients(make(), separated(shape, np.random.default_rng(0)), limit=60)


def test_places_and_indices_agree():
    x = np.random.default_rng(0).integers(-3, 4, (2, 35, 9, 9)).astype(np.float32)
    for view in (x, channels_last(x)):
        y, backward = nn.MaxPool2d(3, 2, 1).forward(view, True)
        (z, indices), backward_indices = nn.MaxPool2d(3, 2, 1, return_indices=True).forward(view, True)
        np.testing.assert_array_equal(y, z)
        np.testing.assert_array_equal(backward(y), backward_indices(y))
        np.testing.assert_array_equal(backward(y), F.max_pool2d_backward(y, indices, 9))


def test_unpool():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6))
    y, indices = nn.MaxPool2d(2, return_indices=True)(x)
    z, backward = nn.MaxUnpool2d(2).forward(y, True, indices)
    assert z.shape == x.shape
    np.testing.assert_array_equal(F.max_pool2d(np.where(z == 0, -np.inf, z), 2), y)
    np.testing.assert_array_equal(backward(z), y)
    assert nn.MaxUnpool2d(2)(y, indices, output_size=(2, 3, 7, 7)).shape == (2, 3, 7, 7)
    with pytest.raises(IndexError):
        nn.MaxUnpool2d(2)(y, indices + 100)


def test_refused_arguments():
    for make in (lambda: nn.MaxPool2d(2, padding=2), lambda: nn.AvgPool2d(0), lambda: nn.AdaptiveAvgPool2d(0)):
        with pytest.raises(ValueError):
            make()
    with pytest.raises(ValueError):
        nn.MaxPool2d(5)(np.zeros((1, 1, 4, 4), np.float32))
