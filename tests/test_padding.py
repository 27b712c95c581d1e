"""Padding: NumPy's pad, torch's, adjointness, errors; and the padding modes of convolution layers."""

import numpy as np
import pytest
from bits import assert_same_bits
from contract import channels_last, disguises

from cconv import functional as F
from cconv import nn

NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
CASES = [
    ((3, 4, 5), (1, 2)),
    ((2, 3, 4, 5), (2, 0, 1, 3)),
    ((2, 3, 4, 5), (0, 4, 3, 0)),
    ((2, 3, 4, 5), (-1, 2, -2, -1)),
    ((2, 3, 4, 5), (0, -5)),
    ((1, 2, 3, 4, 3), (1, 1, 2, 0, 0, 2)),
    ((4, 3), (1, 1, 2, 1)),
    ((0, 3, 4), (1, 2)),
    ((7,), (3, 2)),
    ((2, 3), ()),
]


def pairs(shape, pad):
    there = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    return [(0, 0)] * (len(shape) - len(there)) + there[::-1]


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize(("shape", "pad"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_against_numpy(mode, shape, pad, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(dtype)
    both = pairs(shape, pad)
    ends = [tuple(max(p, 0) for p in pair) for pair in both]
    crop = tuple(slice(max(-a, 0), -max(-b, 0) or None) for a, b in both)
    first, last = (crop, ()) if mode == "circular" else ((), crop)  # what was cropped does not come round again
    expected = np.pad(x[first], ends, NUMPY[mode], **({"constant_values": 2.5} if mode == "constant" else {}))[last]
    options = {"value": 2.5} if mode == "constant" else {}
    for name, other in (("x", x), *disguises(x)) if x.ndim > 2 else (("x", x),):
        y = F.pad(other, pad, mode, **options)
        np.testing.assert_array_equal(y, expected, name)
        assert y.dtype == dtype
    # <pad(x), dy> = <x, pad_backward(dy)> for a linear map
    dy = rng.integers(-8, 9, y.shape).astype(dtype)
    whole = rng.integers(-8, 9, shape).astype(dtype)
    dx = F.pad_backward(dy, pad, mode)
    assert dx.shape == shape and dx.dtype == dtype
    assert np.sum(F.pad(whole, pad, mode) * dy) == np.sum(whole * dx)


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize("last", [False, True])
def test_same_bits_for_any_thread_count(mode, last):
    """Arrays that are worth several threads, where up to nine dy meet in one dx."""
    x = np.random.default_rng(0).standard_normal((6, 20, 30, 34)).astype(np.float32)
    x = channels_last(x) if last else x
    y = F.pad(x, (29, 30, 28, 27), mode)
    np.testing.assert_array_equal(y, np.pad(x, [(0, 0), (0, 0), (28, 27), (29, 30)], NUMPY[mode]))
    wide = F.pad_backward(y.astype(np.float64), (29, 30, 28, 27), mode)
    np.testing.assert_allclose(F.pad_backward(y, (29, 30, 28, 27), mode), wide, rtol=1e-4, atol=1e-3)
    assert_same_bits(lambda: (F.pad(x, (29, 30, 28, 27), mode), F.pad_backward(y, (29, 30, 28, 27), mode)))


@pytest.mark.parametrize("mode", NUMPY)
def test_memory_order_is_kept(mode):
    x = channels_last(np.random.default_rng(0).standard_normal((2, 3, 4, 5)))
    y = F.pad(x, (1, 2, -1, 1), mode)
    assert y.strides == channels_last(np.ascontiguousarray(y)).strides
    assert F.pad_backward(y, (1, 2, -1, 1), mode).strides == x.strides


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize(
    ("shape", "pad"), [((2, 3, 4), (2, 1)), ((2, 3, 4, 5), (1, 2, 3, 1)), ((1, 2, 3, 4, 5), (1,) * 6)]
)
def test_against_torch(mode, shape, pad):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, dy = np.random.default_rng(0).standard_normal(shape), None
    leaf = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.pad(leaf, pad, mode)
    dy = np.random.default_rng(1).standard_normal(tuple(expected.shape))
    expected.backward(torch.tensor(dy))
    np.testing.assert_array_equal(F.pad(x, pad, mode), expected.detach())
    np.testing.assert_allclose(F.pad_backward(dy, pad, mode), leaf.grad, rtol=1e-13)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    "options", [{"padding": 1}, {"padding": (0, 2), "stride": 2}, {"padding": "same", "dilation": 2}]
)
def test_convolution_layers(mode, options):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = np.random.default_rng(0).standard_normal((2, 4, 7, 6))
    ours = nn.Conv2d(4, 6, 3, groups=2, padding_mode=mode, rng=0, **options).astype(np.float64)
    theirs = torch.nn.Conv2d(4, 6, 3, groups=2, padding_mode=mode, **options).double()
    theirs.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
    leaf = torch.tensor(x, requires_grad=True)
    expected = theirs(leaf)
    dy = np.random.default_rng(1).standard_normal(tuple(expected.shape))
    expected.backward(torch.tensor(dy))
    y, backward = ours.forward(x, True)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(backward(dy), leaf.grad, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad, rtol=1e-10, atol=1e-12)
    assert y.shape == ours.output_shape(x.shape)
    np.testing.assert_allclose(ours(x), y, rtol=1e-12)


def test_lanes_leave_other_borders_alone():
    """A small network of one channel, whose fused form knows zeros only."""
    from cconv.fuse import fuse

    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, padding_mode="circular", rng=0), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 5, rng=1), nn.ReLU(), nn.MaxPool2d(2),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((20, 1, 28, 28)).astype(np.float32)
    np.testing.assert_allclose(fuse(net)(x), net(x), rtol=1e-4, atol=1e-5)


def test_errors():
    x = np.zeros((2, 3, 4, 5))
    for call, error, message in [
        (lambda: F.pad(x, (1,)), ValueError, "pad"),
        (lambda: F.pad(x, 1), ValueError, "pad"),
        (lambda: F.pad(x, (1,) * 10), ValueError, "pad"),
        (lambda: F.pad(x, (1.0, 2)), TypeError, "pad"),
        (lambda: F.pad(x, (True, 2)), TypeError, "pad"),
        (lambda: F.pad(x, (2**62, 1)), ValueError, "overflow|large"),
        (lambda: F.pad(x, (2**70, 1)), ValueError, "pad"),
        (lambda: F.pad(x, (-3, -3)), ValueError, "negative"),
        (lambda: F.pad(x, (1, 1), "mirror"), ValueError, "mode"),
        (lambda: F.pad(x, (1, 1), None), ValueError, "mode"),
        (lambda: F.pad(x, (1, 1), "reflect", 0), ValueError, "value"),
        (lambda: F.pad(x, (1, 1), value="0"), TypeError, "value"),
        (lambda: F.pad(x, (5, 0), "reflect"), ValueError, "pad"),
        (lambda: F.pad(x, (0, 6), "circular"), ValueError, "pad"),
        (lambda: F.pad(x[..., :0], (0, 1), "replicate"), ValueError, "pad"),
        (lambda: F.pad(x.astype(int), (1, 1)), TypeError, "x"),
        (lambda: F.pad_backward(x, (3, 3)), ValueError, "dy"),
        (lambda: F.pad_backward(x, (2, 2), "reflect"), ValueError, "pad"),
        (lambda: nn.ZeroPad2d(1)(x[0]), ValueError, "ZeroPad2d"),
        (lambda: nn.ZeroPad2d((1, 2, 3)), ValueError, "padding"),
        (lambda: nn.ReflectionPad1d(1).forward(np.zeros((1, 1, 4)), True)[1](np.zeros((1, 1, 5))), ValueError, "dy"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect"), ValueError, "padding_mode"),
    ]:
        with pytest.raises(error, match=message):
            call()
    assert F.pad(x, (1, 1), value=-np.inf)[0, 0, 0, 0] == -np.inf
