"""L_p pooling: windows one at a time, torch, limits, errors."""

import itertools

import numpy as np
import oracle_pool as oracle
import pytest
from contract import disguises

from cconv import functional as F


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("p", "kernel", "stride", "padding", "dilation"), [
    (2, (2, 3), (2, 1), (0, 0), (1, 1)), (1, (3, 2), (1, 2), (1, 1), (1, 1)), (3.5, (2, 2), (2, 2), (1, 0), (2, 1)),
])  # fmt: skip
def test_against_oracle(dtype, p, kernel, stride, padding, dilation):
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 7)).astype(dtype)
    axes = oracle.sliding(x.shape[2:], kernel, stride, [(n, n) for n in padding], dilation)
    expected = oracle.average(np.abs(x.astype(np.float64)) ** p, axes, divisor=1) ** (1 / p)
    for name, other in (("x", x), *disguises(x)):
        y = F.lp_pool2d(other, p, kernel, stride, padding=padding, dilation=dilation)
        assert y.dtype == dtype
        np.testing.assert_allclose(y, expected, rtol=1e-6 if dtype == np.float32 else 1e-13, err_msg=name)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("p", "ceil_mode"), list(itertools.product([1, 2, 3], [False, True])))
@pytest.mark.filterwarnings("ignore")
def test_against_torch(rank, p, ceil_mode):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = np.random.default_rng(0).random((2, 3, 8, 7, 6)[: rank + 2]) + 0.1  # torch raises x itself to the power
    leaf = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn.functional, f"lp_pool{rank}d")(leaf, p, 3, 2, ceil_mode)
    dy = np.random.default_rng(1).standard_normal(tuple(expected.shape))
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(getattr(F, f"lp_pool{rank}d")(x, p, 3, 2, ceil_mode), expected.detach(), rtol=1e-12)
    dx = getattr(F, f"lp_pool{rank}d_backward")(dy, x, p, 3, 2, ceil_mode)
    np.testing.assert_allclose(dx, leaf.grad, rtol=1e-11, atol=1e-13)


def test_limits():
    x = np.array([[[1e30, -1e30, 0, 0, np.nan, 1]]], np.float32)
    y = F.lp_pool1d(x, 2, 2)
    np.testing.assert_allclose(y[0, 0, :2], [np.sqrt(2) * 1e30, 0], rtol=1e-6)
    assert np.isnan(y[0, 0, 2])
    np.testing.assert_array_equal(
        F.lp_pool1d_backward(np.ones((1, 1, 2)), np.zeros((1, 1, 4)), 2, 2), np.zeros((1, 1, 4))
    )
    assert F.lp_pool2d(np.zeros((0, 3, 4, 4)), 2, 2).shape == (0, 3, 2, 2)


def test_errors():
    x = np.zeros((1, 2, 4, 4))
    for call, error, message in [
        (lambda: F.lp_pool2d(x, 0, 2), ValueError, "norm_type"),
        (lambda: F.lp_pool2d(x, np.inf, 2), ValueError, "norm_type"),
        (lambda: F.lp_pool2d(x, "2", 2), TypeError, "norm_type"),
        (lambda: F.lp_pool2d(x, 2, 5), ValueError, "kernel_size|exceed|fit|shape"),
        (lambda: F.lp_pool2d(x, 2, 2.0), TypeError, "kernel_size"),
        (lambda: F.lp_pool2d(x, 2, 2, 0), ValueError, "stride"),
        (lambda: F.lp_pool2d(x, 2, 2, ceil_mode=1), TypeError, "ceil_mode"),
        (lambda: F.lp_pool2d(x[0], 2, 2), ValueError, "x"),
        (lambda: F.lp_pool2d_backward(x, x, 2, 2), ValueError, "dy"),
    ]:
        with pytest.raises(error, match=message):
            call()
