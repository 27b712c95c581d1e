"""Convolution by Fourier transforms: every geometry and dtype, layers, blocks, and what it costs."""

import os
import subprocess
import sys

import numpy as np
import oracle_conv as oracle
import pytest
from bits import assert_same_bits

import cconv.functional as F
from cconv import nn
from cconv.functional import _fft
from cconv.functional.conv import prepare

BOUND = {np.float32: 1e-5, np.float64: 1e-12}


def error(got, expected):
    return np.linalg.norm(got - expected) / max(np.linalg.norm(expected), 1e-30)


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


CASES = {
    "large kernel": ((2, 3, 33, 30), (4, 3, 15, 11), {"padding": (7, 5)}),
    "same": ((2, 3, 12, 13), (4, 3, 6, 5), {"padding": "same"}),
    "full": ((1, 2, 5, 6), (3, 2, 7, 4), {"padding": "full"}),
    "kernel beyond the image": ((1, 2, 3, 4), (3, 2, 9, 7), {"padding": 3}),
    "stride": ((2, 4, 19, 17), (6, 4, 7, 5), {"stride": (2, 3), "padding": ((0, 3), (2, 1))}),
    "stride beyond the kernel": ((2, 2, 11, 13), (3, 2, 2, 1), {"stride": (5, 4), "padding": 1}),
    "padding beyond what is seen": ((1, 1, 2, 2), (1, 1, 1, 1), {"stride": 50, "padding": ((9, 0), (5, 7))}),
    "dilation": ((2, 3, 21, 20), (5, 3, 3, 4), {"dilation": (3, 2), "stride": (1, 2), "padding": (2, 0)}),
    "groups": ((2, 6, 11, 12), (8, 3, 5, 5), {"groups": 2, "padding": 2}),
    "depthwise": ((2, 5, 11, 12), (10, 1, 7, 7), {"groups": 5, "stride": 2}),
    "1x1": ((2, 5, 6, 7), (3, 5, 1, 1), {}),
    "1-D": ((3, 4, 50), (6, 2, 21), {"groups": 2, "stride": 2, "padding": 10}),
    "3-D": ((2, 2, 9, 8, 7), (4, 2, 5, 4, 3), {"padding": (2, 1, 0), "stride": (1, 2, 1), "dilation": (1, 1, 2)}),
}


def arrays(name, dtype, last=False):
    """x, weight, dy and the three results of the oracle."""
    x_shape, w_shape, options = CASES[name]
    rng = np.random.default_rng(0)
    rank = len(x_shape) - 2
    x, w = rng.standard_normal(x_shape).astype(dtype), rng.standard_normal(w_shape).astype(dtype)
    direct = prepare(x_shape, w_shape, **options, algo="reference", dtype=np.float64)
    dy = rng.standard_normal(direct.y_shape).astype(dtype)
    dw = np.zeros(w_shape)
    x64, w64, dy64 = (np.ascontiguousarray(a, np.float64) for a in (x, w, dy))
    direct.backward_weight(x64, dy64, dw)
    right = direct.forward(x64, w64), direct.backward_data(dy64, w64), dw
    return rank, channels_last(x) if last else x, w, channels_last(dy) if last else dy, options, right


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.row("2.06")
def test_equals_direct(name, dtype, last):
    rank, x, w, dy, options, right = arrays(name, dtype, last)
    forward, data, weight = (getattr(F, f"conv{rank}d{s}") for s in ("", "_backward_data", "_backward_weight"))
    got = (
        forward(x, w, **options, algo="fft"),
        data(dy, w, x.shape[2:], **options, algo="fft"),
        weight(x, dy, w.shape[2:], **options, algo="fft"),
    )
    for result, expected in zip(got, right, strict=True):
        assert result.dtype == dtype and result.shape == expected.shape
        assert error(result, expected) <= BOUND[dtype]
    for result in got[:2]:
        assert (np.moveaxis(result, 1, -1) if last else result).flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_oracle(dtype):
    """The case above compares with the reference; this one with sums in NumPy."""
    rng = np.random.default_rng(1)
    x, w, b = (rng.integers(-4, 5, s).astype(dtype) for s in ((2, 4, 9, 8), (6, 2, 5, 3), (6,)))
    args = (2, 1), ((2, 1), (0, 3)), (1, 2), 2
    expected = oracle.forward(x, w, b, *args)
    assert error(F.conv2d(x, w, b, *args, "fft"), expected) <= BOUND[dtype]


@pytest.mark.parametrize("name", ["groups", "depthwise", "stride", "3-D"])
def test_blocks(name, monkeypatch):
    """Where transforms need room they are made for some groups, outputs and images at a time."""
    rank, x, w, dy, options, right = arrays(name, np.float64)
    for room in (1, 700, 3000, 20000):
        monkeypatch.setattr(_fft, "BLOCK", room)
        geometry = prepare(x.shape, w.shape, **options, algo="fft", dtype=np.float64)
        dw = np.zeros_like(w)
        geometry.backward_weight(x, dy, dw)
        for got, expected in zip((geometry.forward(x, w), geometry.backward_data(dy, w), dw), right, strict=True):
            assert error(got, expected) <= 1e-12


def test_same_bits_for_any_thread_count():
    _, x, w, dy, options, _ = arrays("large kernel", np.float32)

    def passes():
        return (
            F.conv2d(x, w, **options, algo="fft"),
            F.conv2d_backward_data(dy, w, x.shape[2:], **options, algo="fft"),
            F.conv2d_backward_weight(x, dy, w.shape[2:], **options, algo="fft"),
        )

    assert_same_bits(passes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers(dtype):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 4, 12, 11)).astype(dtype)
    for layer in (
        nn.Conv2d(4, 6, 7, stride=2, padding=3, groups=2, rng=0, dtype=dtype, algo="fft"),
        nn.ConvTranspose2d(4, 6, 5, stride=2, padding=1, output_padding=1, rng=0, dtype=dtype, algo="fft"),
    ):
        kind = type(layer)
        twin = kind(4, 6, layer.kernel_size, 2, layer.padding, dtype=dtype, groups=layer.groups, algo="im2col",
                    **({} if kind is nn.Conv2d else {"output_padding": 1}))  # fmt: skip
        twin.load_state_dict(layer.state_dict())
        results = []
        for one in (layer, twin):
            y, backward = one.forward(x, True)
            one.zero_grad()
            dx = backward(np.cos(y))
            results.append((y, dx, one.weight.grad, one.bias.grad, one(x)))
        for got, expected in zip(*results, strict=True):
            assert got.shape == expected.shape and error(got, expected) <= 10 * BOUND[dtype]


def test_epilogue():
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 3, 8, 9)), rng.standard_normal((5, 3, 3, 3))
    scale, bias, residual = rng.standard_normal(5), rng.standard_normal(5), rng.standard_normal((2, 5, 8, 9))
    fft, im2col = (prepare(x.shape, w.shape, padding=1, algo=a, dtype=np.float64) for a in ("fft", "im2col"))
    parts = bias, residual, True, scale
    np.testing.assert_allclose(fft.forward(x, w, *parts), im2col.forward(x, w, *parts), atol=1e-12)
    parts = x, rng.standard_normal(3)
    got, expected = (g.backward_data(residual, w, *parts) for g in (fft, im2col))
    np.testing.assert_allclose(got, expected, atol=1e-12)
    assert fft.algorithm("forward") == "fft"


def test_listed_but_never_chosen():
    for kernel in (1, 3, 31):
        for dtype in (np.float32, np.float64):
            shapes = (1, 4, 40, 40), (4, 4, kernel, kernel)
            assert "fft" in F.conv_algorithms(*shapes, padding="same", dtype=dtype)
            geometry = prepare(*shapes, padding="same", dtype=dtype)
            assert geometry.algorithm("forward") != "fft"


def test_empty():
    for x_shape, w_shape in (((0, 3, 5, 5), (2, 3, 3, 3)), ((2, 0, 5, 5), (2, 0, 3, 3)), ((2, 3, 5, 5), (0, 3, 3, 3))):
        x, w = np.ones(x_shape), np.ones(w_shape)
        y = F.conv2d(x, w, np.ones(w_shape[0]), algo="fft")
        assert y.shape == (x_shape[0], w_shape[0], 3, 3) and (y == 1).all()
        assert not F.conv2d_backward_data(y, w, (5, 5), algo="fft").any()
        assert not F.conv2d_backward_weight(x, y, 3, algo="fft").any()
    assert not F.conv2d(np.empty((1, 1, 0, 2)), np.ones((1, 1, 1, 1)), padding=1, algo="fft").any()


def test_refused():
    x, w = np.ones((1, 2, 5, 5)), np.ones((3, 2, 3, 3))
    for options in ({"stride": 0}, {"padding": -1}, {"groups": 2}, {"dilation": 4}, {"padding": 2**62}):
        with pytest.raises(ValueError):
            F.conv2d(x, w, **options, algo="fft")
    with pytest.raises(ValueError, match="dy"):
        F.conv2d_backward_data(x, w, (9, 9), algo="fft")
    with pytest.raises(TypeError):
        F.conv2d(x, w.astype(np.float32), algo="fft")
    geometry = prepare(x.shape, w.shape, algo="fft", dtype=np.float64)
    with pytest.raises(ValueError, match="dw"):
        geometry.backward_weight(x, np.ones((1, 3, 3, 3)), np.zeros((3, 2, 3, 4)))


def test_nan_spreads_over_its_image_alone():
    x, w = np.ones((2, 1, 16, 16)), np.ones((2, 1, 3, 3))
    x[0, 0, 0, 0] = np.nan
    y = F.conv2d(x, w, algo="fft")
    assert np.isnan(y[0]).all()
    np.testing.assert_allclose(y[1], 9)


def test_arguments_are_left_alone():
    _, x, w, dy, options, _ = arrays("groups", np.float32, True)
    before = [a.copy() for a in (x, w, dy)]
    for a in (x, w, dy):
        a.flags.writeable = False
    F.conv2d(x, w, **options, algo="fft")
    F.conv2d_backward_data(dy, w, x.shape[2:], **options, algo="fft")
    F.conv2d_backward_weight(x, dy, w.shape[2:], **options, algo="fft")
    for a, b in zip((x, w, dy), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_scipy_comes_with_the_first_use(tmp_path):
    code = (
        "import sys, numpy as np, cconv.functional as F\n"
        "x, w = np.ones((1, 1, 5, 5), np.float32), np.ones((1, 1, 3, 3), np.float32)\n"
        "F.conv2d(x, w, algo='direct'); a = 'scipy.fft' in sys.modules\n"
        "F.conv2d(x, w, algo='fft'); print(a, 'scipy.fft' in sys.modules)"
    )
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=path, capture_output=True, text=True)
    assert answer.stdout.split() == ["False", "True"], answer.stderr
