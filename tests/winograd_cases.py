"""Convolutions for the tests of Winograd's algorithms: arrays, all three passes, what the oracle says of them."""

import numpy as np
import oracle_conv as oracle

from cconv.functional.conv import prepare

BOUND = {"forward": 2e-5, "backward_data": 2e-5, "backward_weight": 1e-4}
SAME = ((1, 1), (1, 1))


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def case(n, ic, oc, h, w, pads=SAME, seed=0, taps=3, stride=1, groups=1, dilation=(1, 1)):
    """(x, weight, dy, pads): inputs as after ReLU, weights as He et al. begin with."""
    rng = np.random.default_rng(seed)
    reach = [(taps - 1) * d + 1 for d in dilation]
    size = [(length + sum(pad) - r) // stride + 1 for length, pad, r in zip((h, w), pads, reach, strict=True)]
    x = channels_last(np.maximum(rng.standard_normal((n, ic, h, w), np.float32), 0))
    weight = rng.standard_normal((oc, ic // groups, taps, taps), np.float32)
    weight *= np.float32(np.sqrt(2 * groups / (taps * taps * ic)))
    return x, weight, channels_last(rng.standard_normal((n, oc, *size), np.float32)), pads


def passes(x, weight, dy, pads, *, algo, stride=1, groups=1, mosaic=False, dilation=(1, 1)):
    geometry = prepare(x.shape, weight.shape, stride, pads, dilation, groups, algo, channels_last=True)
    dw = np.zeros_like(weight)
    geometry.backward_weight(x, dy, dw)
    return {
        "forward": geometry.forward(x, weight, mosaic=mosaic),
        "backward_data": geometry.backward_data(dy, weight, mosaic=mosaic),
        "backward_weight": dw,
    }


def expected(x, weight, dy, pads, *, stride=1, groups=1, dilation=(1, 1)):
    geometry = (stride, stride), pads, dilation, groups
    return {
        "forward": oracle.forward(x, weight, None, *geometry),
        "backward_data": oracle.backward_data(dy, weight, x.shape[2:], *geometry),
        "backward_weight": oracle.backward_weight(x, dy, weight.shape[2:], *geometry),
    }


def error(got, right):
    norm = np.linalg.norm(right)
    return np.linalg.norm(got - right) / norm if norm > 0 else np.linalg.norm(got)


def assert_accurate(got, right, factor=1.0):
    for name, bound in BOUND.items():
        assert got[name].dtype == np.float32
        assert error(got[name] / factor, right[name]) <= bound, name


def assert_spread_alike(got, right):
    """Inf and NaN stand where they do in `right`; the rest is close."""
    for name in BOUND:
        np.testing.assert_array_equal(np.isfinite(got[name]), np.isfinite(right[name]))
        np.testing.assert_array_equal(np.isnan(got[name]), np.isnan(right[name]))
        finite = np.isfinite(right[name])
        np.testing.assert_allclose(got[name][finite], right[name][finite], rtol=1e-3, atol=1e-4)
