"""Published convolutions whose values were recomputed: d2l, Caffe's separable Sobel, tiny-dnn.

Each runs by every algorithm that can do it, in both memory orders and both dtypes. Winograd and Fourier transforms round; the
others are exact on integers.
"""

import numpy as np
import pytest

import cconv.functional as F

X, K = np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(2, 2)
EDGES = np.ones((6, 8))
EDGES[:, 2:6] = 0
K2 = np.stack([K, K + 1])
ADDED = np.add.outer(np.arange(5.0), np.arange(5.0))
FPROP = np.array(
    [[3, 2, 1, 5, 2], [3, 0, 2, 0, 1], [0, 6, 1, 1, 10], [3, -1, 2, 9, 0], [1, 2, 1, 5, 5]], dtype=float
)  # fmt: skip
K0 = np.array([[0.3, 0.1, 0.2], [0, -0.1, -0.1], [0.05, -0.2, 0.05]])
K1 = np.array([[0, -0.1, 0.1], [0.1, -0.2, 0.3], [0.2, -0.3, 0.2]])

EXACT = {
    "two channels": (np.stack([X, X + 1])[None], K2[None], {}, [56, 72, 104, 120]),
    "three kernels": (
        np.stack([X, X + 1])[None], np.stack([K2, K2 + 1, K2 + 2]), {},
        [56, 72, 104, 120, 76, 100, 148, 172, 96, 128, 192, 224]),
    "true convolution": (X[None, None], K[::-1, ::-1][None, None], {}, [5, 11, 23, 29]),
    "full": (
        X[None, None], K[::-1, ::-1][None, None], {"padding": "full"},
        [0, 0, 1, 2, 0, 5, 11, 11, 6, 23, 29, 23, 12, 32, 37, 24]),
    "full exchanged": (
        K[None, None], X[::-1, ::-1][None, None], {"padding": "full"},
        [0, 0, 1, 2, 0, 5, 11, 11, 6, 23, 29, 23, 12, 32, 37, 24]),
    "full unflipped": (
        K[None, None], X[None, None], {"padding": "full"}, [0, 8, 7, 6, 16, 43, 37, 21, 10, 25, 19, 9, 4, 8, 3, 0]),
    "edges": (EDGES[None, None], np.array([[[[1.0, -1.0]]]]), {}, [0, 1, 0, 0, 0, -1, 0] * 6),
    "edges transposed": (EDGES.T[None, None], np.array([[[[1.0, -1.0]]]]), {}, [0] * 40),
    "stride (tiny-dnn)": (ADDED[None, None], np.full((1, 1, 3, 3), 0.5), {"stride": 2}, [9, 18, 18, 27]),
    "dilation (tiny-dnn)": (
        np.arange(49.0).reshape(1, 1, 7, 7), np.arange(10.0, 19).reshape(1, 1, 3, 3), {"dilation": 2},
        [2280, 2406, 2532, 3162, 3288, 3414, 4044, 4170, 4296]),
}  # fmt: skip


def _algorithms(x, w, kwargs, dtype, last):
    return F.conv_algorithms(x.shape, w.shape, **kwargs, dtype=dtype, channels_last=last)


def _ordered(x, last):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if last else x


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXACT)
def test_exact(name, dtype, last):
    x, w, kwargs, expected = EXACT[name]
    x, w = _ordered(x.astype(dtype), last), w.astype(dtype)
    for algo in ["auto", *_algorithms(x, w, kwargs, dtype, last)]:
        y = F.conv2d(x, w, **kwargs, algo=algo)
        if algo in ("winograd", "winograd_dilated", "fft"):
            np.testing.assert_allclose(y.ravel(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
        else:
            np.testing.assert_array_equal(y.ravel(), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_1d(dtype):
    y = F.conv1d(np.arange(1, 6).astype(dtype)[None, None], np.array([[[1, 2, 3]]], dtype))
    np.testing.assert_array_equal(y, [[[14, 20, 26]]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sobel_is_separable(dtype):
    x = np.random.default_rng(0).integers(-9, 9, (2, 1, 15, 13)).astype(dtype)
    sobel = np.array([[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]]], dtype)
    column, row = np.array([1, 2, 1], dtype).reshape(1, 1, 3, 1), np.array([-1, 0, 1], dtype).reshape(1, 1, 1, 3)
    two_steps = F.conv2d(F.conv2d(x, column, stride=(2, 1)), row, stride=(1, 2))
    np.testing.assert_array_equal(F.conv2d(x, sobel, stride=2), two_steps)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiny_dnn_forward(dtype, last):
    x = _ordered(np.ascontiguousarray(FPROP[None, None].astype(dtype)), last)
    w = np.stack([K0, K1])[:, None].astype(dtype)
    expected = [
        [-0.05, 1.65, 1.45, 1.05, 0, -2, 0.4, 1.15, 0.8],
        [-0.8, 1.1, 2.1, 0.6, 1.5, 0.7, 0.4, 3.3, -1],
    ]
    np.testing.assert_allclose(F.conv2d(x, w).reshape(2, 9), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiny_dnn_bias(dtype):
    y = F.conv2d(ADDED[None, None].astype(dtype), np.full((1, 1, 3, 3), 0.5, dtype), np.array([0.5], dtype), stride=2)
    np.testing.assert_array_equal(y.ravel(), [9.5, 18.5, 18.5, 27.5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiny_dnn_backward(dtype):
    x, w = ADDED[None, None].astype(dtype), np.full((1, 1, 3, 3), 0.5, dtype)
    dy = np.array([[[[-1, 2], [3, 0]]]], dtype)
    dx = [
        [-0.5, -0.5, 0.5, 1, 1],
        [-0.5, -0.5, 0.5, 1, 1],
        [1, 1, 2, 1, 1],
        [1.5, 1.5, 1.5, 0, 0],
        [1.5, 1.5, 1.5, 0, 0],
    ]
    np.testing.assert_array_equal(F.conv2d_backward_data(dy, w, 5, stride=2)[0, 0], dx)
    dw = F.conv2d_backward_weight(x, dy, 3, stride=2)[0, 0]
    np.testing.assert_array_equal(dw, [[10, 14, 18], [14, 18, 22], [18, 22, 26]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding", [0, 1])
def test_tiny_dnn_transposed(dtype, padding):
    x, w = np.array([[[[3, 2], [3, 0]]]], dtype), np.stack([K0, K1])[None].astype(dtype)
    expected = np.array([
        [[0.9, 0.9, 0.8, 0.4], [0.9, 0, 0.1, -0.2], [0.15, -0.8, -0.55, 0.1], [0.15, -0.6, 0.15, 0]],
        [[0, -0.3, 0.1, 0.2], [0.3, -0.7, 0.8, 0.6], [0.9, -1.1, 0.9, 0.4], [0.6, -0.9, 0.6, 0]],
    ])  # fmt: skip
    y = F.conv_transpose2d(x, w, padding=padding)
    inside = expected[:, padding : 4 - padding, padding : 4 - padding]
    np.testing.assert_allclose(y[0], inside, atol=1e-5)


def test_bias_gradients():
    from cconv import nn

    for dy, expected in (
        (np.arange(1, 3).reshape(1, 1, 2, 1), [3]),
        (np.arange(1, 7).reshape(1, 1, 2, 3), [5, 7, 9]),
        (np.arange(1, 7).reshape(1, 2, 3, 1), [21]),
        (np.arange(1, 5).reshape(1, 2, 2, 1), [10]),
        (np.arange(1, 3).reshape(1, 1, 1, 2), [1, 2]),
    ):
        dy = dy.transpose(0, 3, 1, 2).astype(np.float64)
        layer = nn.Conv2d(1, dy.shape[1], 1, dtype=np.float64)
        _, backward = layer.forward(np.ones((1, 1, *dy.shape[2:])), True)
        backward(dy)
        np.testing.assert_array_equal(layer.bias.grad, expected)
