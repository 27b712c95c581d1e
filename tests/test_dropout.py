"""Dropout: the share kept, the mask's independence of threads and memory order, state."""

import numpy as np
import pytest
from bits import assert_same_bits

from cconv import functional as F
from cconv import nn


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_scale(p, dtype):
    y = F.dropout(np.ones((50, 40, 10, 10), dtype), p, seed=1)
    kept = y != 0
    assert y.dtype == dtype
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / y.size)
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-6)
    # neighbours are independent
    assert abs((kept[..., 1:] & kept[..., :-1]).mean() - (1 - p) ** 2) < 0.01


def test_masks_differ_by_seed_and_call():
    masks = [F.dropout(np.ones(10_000), 0.5, seed, call) > 0 for seed in range(3) for call in range(3)]
    for i, mask in enumerate(masks):
        for other in masks[:i]:
            assert abs((mask == other).mean() - 0.5) < 0.03
    np.testing.assert_array_equal(masks[0], F.dropout(np.ones(10_000), 0.5, 0, 0) > 0)


@pytest.mark.parametrize("per_channel", [False, True])
def test_memory_order_does_not_change_the_mask(per_channel):
    x = np.random.default_rng(0).standard_normal((4, 7, 30, 20)).astype(np.float32)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    first = F.dropout(x, 0.3, 5, 6, per_channel)
    np.testing.assert_array_equal(F.dropout(last, 0.3, 5, 6, per_channel), first)
    assert F.dropout(last, 0.3, 5, 6, per_channel).strides == last.strides
    np.testing.assert_array_equal(F.dropout(np.asfortranarray(x), 0.3, 5, 6, per_channel), first)


@pytest.mark.parametrize("per_channel", [False, True])
def test_threads_do_not_change_bits(per_channel):
    x = np.ones((9, 7, 41, 33), np.float32)
    assert_same_bits(lambda: [F.dropout(x, 0.3, 5, 6, per_channel)])


def test_whole_planes():
    y = nn.Dropout2d(0.5, rng=0).forward(np.ones((20, 30, 4, 3)), True)[0]
    planes = y.reshape(600, 12)
    assert ((planes == planes[:, :1]).all(1)).all() and 0.4 < (planes[:, 0] > 0).mean() < 0.6


def test_extremes():
    x = np.random.default_rng(0).standard_normal((3, 5))
    np.testing.assert_array_equal(F.dropout(x, 0.0), x)
    np.testing.assert_array_equal(F.dropout(x, 1.0), np.zeros_like(x))
    assert F.dropout(np.zeros((0, 4))).shape == (0, 4)


def test_layer_state():
    x = np.ones((10, 50), np.float32)
    layer, other = nn.Dropout(0.5, rng=3), nn.Dropout(0.5)
    first = layer.forward(x, True)[0]
    state = layer.random_state()
    assert all(type(value) is int for value in state) and state[1] == 1
    other.set_random_state(state)
    second, backward = layer.forward(x, True)
    assert (first != second).any()
    np.testing.assert_array_equal(other.forward(x, True)[0], second)
    np.testing.assert_array_equal(backward(x), second)
    assert layer.state_dict() == {}
    assert layer(x) is x and layer.random_state()[1] == 2


def test_errors():
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="p must"):
            F.dropout(np.zeros(3), p)
        with pytest.raises(ValueError, match="p must"):
            nn.Dropout(p)
    with pytest.raises(TypeError):
        F.dropout(np.zeros(3, int))
