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


def _mask(shape, p, seed, call):
    """The stream as documented: keys by 64-bit mixing of seed, call and sample, then a 32-bit hash."""

    def mix(z):
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    key = mix(seed) ^ mix((call + 0x632BE59BD9B4E019) % 2**64)
    samples = []
    for n in range(shape[0]):
        sample = mix((key + (n + 1) * 0x9E3779B97F4A7C15) % 2**64)
        h = np.arange(np.prod(shape[1:]), dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(sample % 2**32)
        h = (h ^ h >> 16) * np.uint32(0x7FEB352D) + np.uint32(sample >> 32)
        h = (h ^ h >> 15) * np.uint32(0x846CA68B)
        samples.append((h ^ h >> 16) >= np.uint32(p * 2**32))
    return np.stack(samples).reshape(shape)


@pytest.mark.parametrize("shape", [(3, 5, 4, 7), (2, 70, 3), (4, 33), (2, 3, 2, 2, 5)])
def test_the_stream_stays(shape):
    x = np.ones(shape, np.float32)
    expected = _mask(shape, 0.3, 5, 2**64 - 1)
    np.testing.assert_array_equal(F.dropout(x, 0.3, 5, 2**64 - 1) != 0, expected)
    np.testing.assert_array_equal(F.dropout(np.ones(20), 0.5, 1) != 0, _mask((1, 20), 0.5, 1, 0)[0])


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
    np.testing.assert_array_equal(F.dropout(np.full(300, np.nan), 0.5) == 0, F.dropout(np.ones(300), 0.5) == 0)
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


@pytest.mark.parametrize("per_channel", [False, True])
def test_alpha_dropout_keeps_mean_and_variance(per_channel):
    x = np.random.default_rng(0).standard_normal((200, 100, 5, 4)).astype(np.float32)
    y = F.alpha_dropout(x, 0.2, seed=3, per_channel=per_channel)
    assert y.dtype == np.float32 and abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
    dropped = F.dropout(np.ones_like(x), 0.2, seed=3, per_channel=per_channel) == 0
    assert len(np.unique(y[dropped])) == 1
    dy = F.alpha_dropout_backward(np.ones_like(x), 0.2, seed=3, per_channel=per_channel)
    assert not dy[dropped].any() and len(np.unique(dy[~dropped])) == 1
    np.testing.assert_array_equal(F.alpha_dropout(x, 1.0), np.zeros_like(x))
    np.testing.assert_array_equal(F.alpha_dropout(x, 0.0), x)


def test_arguments_are_checked():
    x = np.ones((2, 3))
    for function in (F.dropout, F.alpha_dropout):
        for options, error in (
            ({"p": 1.5}, ValueError), ({"p": np.nan}, ValueError), ({"p": "0.5"}, TypeError), ({"p": True}, TypeError),
            ({"seed": 1.5}, TypeError), ({"call": "1"}, TypeError), ({"per_channel": 1}, TypeError),
        ):  # fmt: skip
            with pytest.raises(error, match=next(iter(options))):
                function(x, **options)
    assert F.dropout(np.float32(2), 0.0) == 2
