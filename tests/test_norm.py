"""Batch norm: oracle, goldens, accuracy, layers."""

import numpy as np
import oracle_norm
import pytest
from bits import assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from cconv import functional as F
from cconv import nn

SHAPES = [
    (6, 4),
    (2, 1),
    (3, 4, 5),
    (2, 3, 9, 7),
    (2, 70, 5, 5),
    (4, 128, 3, 3),
    (3, 6, 14, 14),
    (2, 5, 3, 4, 3),
    (300, 3),
]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-11}

# Values of Caffe, shape (4, 2, 4) in C order.
SIGMA = [5.13347721, 6.15658283]
DY = [
    0.554228544, -0.823364496, -0.103415221, 0.669684947, 0.142640188, -0.171076611, 0.292261183, -0.067076027,
    -0.00277741, 0.058186941, 0.046050139, -0.006042562, -0.004771964, 0.025202896, -0.062344212, 0.030099955,
    -0.023314178, -0.030725746, 0.070954606, 0.055909708, -0.019887319, 0.076775789, 0.014769247, -0.025637595,
    0.004412052, -0.013895055, -0.001271803, 0.0000315, -0.013110356, 0.008091689, -0.005485342, 0.007250476,
]  # fmt: skip
NORMAL = [
    -0.430924207, -2.23937607, 1.7876749, 1.41079676, 0.578419685, 0.662835836, -2.1911881, -0.002405337,
    1.49315703, -0.836038888, 0.006807627, -0.012308626, 0.424309582, -0.56077528, 0.095194906, 0.34416762,
    -0.755284429, -1.02720368, 0.802836478, -0.06101859, 2.17714667, -0.994640052, -0.497716337, 0.397495717,
    -0.545207798, 0.320612997, -0.016919944, 0.102396645, 0.551594019, -1.44724381, -0.530790627, 0.993595243,
]  # fmt: skip
DX = [
    0.115063809, -0.100263298, -0.078099057, 0.083551511, 0.025724376, -0.024521608, 0.026721604, -0.01322682,
    -0.049858954, 0.030313857, 0.003235561, -0.006351554, 0.000483762, -0.002936667, -0.011636967, 0.00547356,
    0.012069567, 0.018599048, -0.015254314, 0.007145011, 0.01277818, 0.001789367, -0.004100761, -0.003131026,
    0.011310737, -0.017643189, -0.005286998, -0.008531732, 0.000200434, -0.013175356, -0.007668978, 0.007226899,
]  # fmt: skip


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def close(actual, expected, tolerance):
    assert np.abs(actual - expected).max(initial=0) <= tolerance * max(1, np.abs(expected).max(initial=0))


def problem(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    weight, bias = rng.random(shape[1]).astype(dtype) + 0.5, rng.standard_normal(shape[1]).astype(dtype)
    return x, dy, weight, bias


def check(x, dy, weight, bias, eps):
    tolerance = TOLERANCE[x.dtype.type]
    y, mean, rstd = F.batch_norm_forward(x, weight, bias, eps)
    expected, expected_mean, expected_var = oracle_norm.forward(x, weight, bias, eps)
    assert y.dtype == mean.dtype == rstd.dtype == x.dtype
    close(y, expected, tolerance)
    close(mean, expected_mean, tolerance)
    close(rstd, 1 / np.sqrt(expected_var + eps), tolerance)
    for actual, wanted in zip(
        F.batch_norm_backward(dy, x, mean, rstd, weight), oracle_norm.backward(dy, x, weight, eps), strict=True
    ):
        assert actual.dtype == x.dtype
        close(actual, wanted, tolerance)
    close(F.batch_norm_inference(x, mean, 1 / rstd**2, weight, bias, eps),
          oracle_norm.inference(x, mean, 1 / rstd**2, weight, bias, eps), tolerance)  # fmt: skip
    return y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("last", [False, True])
def test_against_oracle(shape, dtype, last):
    x, dy, weight, bias = problem(shape, dtype)
    if last:
        x = channels_last(x)
    y = check(x, dy, weight, bias, 1e-3)
    assert y.strides == x.strides
    check(x, dy, None, None, 1e-3)
    check(x, dy, weight, None, 1e-3)


@given(
    n=st.integers(1, 5), c=st.integers(1, 140), spatial=st.lists(st.integers(1, 9), max_size=2),
    dtype=st.sampled_from([np.float32, np.float64]), last=st.booleans(), mean=st.sampled_from([0, 3, 1e3]),
    seed=st.integers(0, 2**16),
)  # fmt: skip
@settings(max_examples=60)
def test_any_shape(n, c, spatial, dtype, last, mean, seed):
    shape = (n + 1, c, *spatial)
    x, dy, weight, bias = problem(shape, dtype, seed)
    x += dtype(mean)
    check(channels_last(x) if last else x, dy, weight, bias, 1e-2)


@pytest.mark.parametrize("shape", [(4, 3, 9, 9), (40, 3), (4, 70, 3, 3)])
@pytest.mark.parametrize("value", [7.0, 0.1, -1e4])
def test_constant_input_gives_exactly_the_bias(shape, value):
    for x in (np.full(shape, value, np.float32), channels_last(np.full(shape, value, np.float32))):
        assert (F.batch_norm_forward(x)[0] == 0).all()
        bias = np.arange(shape[1], dtype=np.float32) / 3
        assert (F.batch_norm_forward(x, bias + 1, bias)[0] == bias.reshape(1, -1, *[1] * (x.ndim - 2))).all()


@pytest.mark.parametrize("last", [False, True])
def test_mean_far_above_the_deviation(last):
    rng = np.random.default_rng(0)
    x = (1e4 + 1e-2 * rng.standard_normal((16, 5, 33, 32))).astype(np.float32)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    if last:
        x = channels_last(x)
    y, mean, rstd = F.batch_norm_forward(x)
    assert np.abs(y - oracle_norm.forward(x, None, None, 1e-5)[0]).max() <= 1e-5
    # The mean handed back is rounded to float32, by 5 % of the deviation here.
    for actual, expected in zip(
        F.batch_norm_backward(dy, x, mean, rstd), oracle_norm.backward(dy, x, None, 1e-5), strict=True
    ):
        close(actual, expected, 2e-6)


def test_outlier_in_the_first_place():
    x = np.random.default_rng(0).standard_normal((64, 3, 20, 20)).astype(np.float32)
    x[0, :, 0, 0] = 1e4
    for array in (x, channels_last(x)):
        close(F.batch_norm_forward(array)[0], oracle_norm.forward(x, None, None, 1e-5)[0], 1e-5)


def test_statistics_of_many_values():
    x = np.random.default_rng(0).random((8, 2, 1000, 1000), np.float32)
    for array in (x, channels_last(x)):
        _, mean, rstd = F.batch_norm_forward(array, eps=0)
        np.testing.assert_allclose(mean, x.mean((0, 2, 3), np.float64), rtol=1e-6)
        np.testing.assert_allclose(rstd, 1 / x.std((0, 2, 3), np.float64), rtol=1e-6)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_change_bits(dtype, last):
    for shape in [(9, 24, 31, 17), (5, 3, 40, 40), (3000, 20)]:
        x, dy, weight, bias = problem(shape, dtype)
        if last:
            x = channels_last(x)

        def compute(x=x, dy=dy, weight=weight, bias=bias):
            y, mean, rstd = F.batch_norm_forward(x, weight, bias)
            return y, mean, rstd, *F.batch_norm_backward(dy, x, mean, rstd, weight)

        assert_same_bits(compute)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("channels", "shape"), [(1, (3, 5)), (3, (5, 7)), (17, (9, 4)), (64, (6, 6)), (100, (3, 8)), (7, (1, 1))]
)
def test_channels_of_a_larger_array(channels, shape, dtype, relu):
    """Written and read where they are, with the bits of an array of their own."""
    rng = np.random.default_rng(3)

    def channels_last(count):
        return np.moveaxis(rng.standard_normal((5, *shape, count)).astype(dtype), -1, 1)

    norm = nn.BatchNorm2d(channels, dtype=dtype)
    norm.weight.data[...], norm.bias.data[...] = rng.standard_normal((2, channels))
    x, around, d_around = channels_last(channels), channels_last(channels + 9), channels_last(channels + 9)
    place, dy = around[:, 4 : 4 + channels], d_around[:, 4 : 4 + channels]
    kept = around.copy()
    expected, backward = norm.forward_residual(x, True, None, relu)
    expected_dx, _ = backward(dy.copy())
    expected_gradients = [p.grad.copy() for p in norm.parameters()]
    dx, _ = norm.forward_residual(x, True, None, relu)[1](np.ascontiguousarray(dy))
    np.testing.assert_array_equal(dx, expected_dx)
    norm.zero_grad()
    y, backward = norm.forward_residual(x, True, None, relu, place)
    dx, _ = backward(dy)
    if channels == 1 or shape == (1, 1):  # no order to tell: as channels-first, an array of its own
        place[...] = y
    else:
        assert y is place
    np.testing.assert_array_equal(place, expected)
    np.testing.assert_array_equal(dx, expected_dx)
    for parameter, gradient in zip(norm.parameters(), expected_gradients, strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)
    kept[:, 4 : 4 + channels] = expected
    np.testing.assert_array_equal(around, kept)


def test_golden_forward_and_running_statistics():
    n, c, length = np.indices((4, 3, 4))
    x = (4 * c + length + 1 + n).astype(np.float64)
    y, mean, _ = F.batch_norm_forward(x)
    np.testing.assert_allclose(mean, [4, 8, 12])
    np.testing.assert_allclose(y[0, 0], [-1.8973628, -1.26490853, -0.63245427, 0], atol=1e-8)
    np.testing.assert_allclose(y[3, 2], [0, 0.63245427, 1.26490853, 1.8973628], atol=1e-8)
    for unbiased, expected in ((True, 1.16666667), (False, 1.15)):
        layer = nn.BatchNorm1d(3, unbiased=unbiased, dtype=np.float64)
        layer.forward(x, True)
        np.testing.assert_allclose(layer.running_mean.data, [0.4, 0.8, 1.2])
        np.testing.assert_allclose(layer.running_var.data, [expected] * 3, atol=1e-8)
        assert layer.num_batches_tracked.data == 1 and layer.num_batches_tracked.data.dtype == np.int64


def test_golden_backward():
    sigma = np.array(SIGMA)
    dy, x = (np.reshape(values, (4, 2, 4)) for values in (DY, NORMAL))
    x = x * sigma[:, None]
    dx, dweight, dbias = F.batch_norm_backward(dy, x, np.zeros(2), 1 / sigma)
    np.testing.assert_allclose(dx.reshape(-1), DX, atol=1e-7)
    np.testing.assert_allclose(dbias, [0.454652, 0.227702], atol=1e-6)
    np.testing.assert_allclose(dweight, [2.408391, -0.828891], atol=2e-6)


def test_mean_and_deviation_become_bias_and_weight():
    x = np.random.default_rng(0).standard_normal((200, 3)) * 3 + 5
    y, mean, rstd = F.batch_norm_forward(x, np.array([1.0, 2, 3]), np.array([11.0, 12, 13]))
    np.testing.assert_allclose(y.mean(0), [11, 12, 13], atol=1e-5)
    np.testing.assert_allclose(y.std(0), [1, 2, 3], atol=1e-5)
    same, _, _ = F.batch_norm_forward(x, 1 / rstd, mean)
    np.testing.assert_allclose(same, x, atol=1e-6)


def test_cumulative_momentum_is_the_mean_of_all_batches():
    layer = nn.BatchNorm2d(3, momentum=None, unbiased=False, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((5, 4, 3, 6, 6))
    for batch in x:
        layer.forward(batch, True)
    np.testing.assert_allclose(layer.running_mean.data, x.mean((0, 1, 3, 4)), atol=1e-12)
    np.testing.assert_allclose(layer.running_var.data, x.var((1, 3, 4)).mean(0), atol=1e-12)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "strided"])
def test_running_statistics_of_any_array(kind, unbiased):
    """Buffers that the kernels do not take move all the same."""
    layer = nn.BatchNorm1d(5, momentum=0.3, unbiased=unbiased)
    x = np.random.default_rng(0).standard_normal((7, 5), np.float32)
    expected = [0.3 * x.mean(0, np.float64), 0.7 + 0.3 * x.var(0, np.float64, ddof=int(unbiased))]
    for buffer in (layer.running_mean, layer.running_var):
        buffer.data = np.repeat(buffer.data, 2)[::2] if kind == "strided" else buffer.data.astype(kind)
    layer.forward(x, True)
    for buffer, value in zip((layer.running_mean, layer.running_var), expected, strict=True):
        tolerance = 1e-3 if kind == "float16" else 1e-6
        np.testing.assert_allclose(buffer.data, value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", [(4, 20, 5, 5), (4, 3, 9, 9)])
def test_fused_relu(train, shape):
    x, dy, weight, bias = problem(shape, np.float64)
    for array in (x, channels_last(x)):
        fused, plain = (nn.BatchNorm2d(shape[1], relu=relu, dtype=np.float64) for relu in (True, False))
        for layer in (fused, plain):
            layer.weight.data, layer.bias.data = weight, bias
        y, backward = fused.forward(array, train)
        expected, expected_backward = plain.forward(array, train)
        np.testing.assert_allclose(y, np.maximum(expected, 0))
        np.testing.assert_allclose(backward(dy), expected_backward(dy * (y > 0)), atol=1e-12)
        np.testing.assert_allclose(fused.weight.grad, plain.weight.grad)
        np.testing.assert_allclose(fused.bias.grad, plain.bias.grad)


def test_torch_keys():
    assert list(nn.BatchNorm2d(2).state_dict()) == [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked"
    ]  # fmt: skip
    assert list(nn.BatchNorm2d(2, affine=False, track_running_stats=False).state_dict()) == []


def test_one_value_a_channel():
    with pytest.raises(ValueError, match="more than one value per channel"):
        F.batch_norm_forward(np.zeros((1, 3, 1, 1), np.float32))
    layer = nn.BatchNorm2d(3)
    with pytest.raises(ValueError, match="BatchNorm2d"):
        layer.forward(np.zeros((1, 3, 1, 1), np.float32), True)
    assert layer(np.zeros((1, 3, 1, 1), np.float32)).shape == (1, 3, 1, 1)


def test_errors():
    x = np.zeros((2, 3, 4), np.float32)
    for call, error, message in [
        (lambda: F.batch_norm_forward(x, np.ones(4, np.float32)), ValueError, "weight"),
        (lambda: F.batch_norm_forward(x, None, np.ones(3)), TypeError, "bias"),
        (lambda: F.batch_norm_forward(x[0, 0]), ValueError, "x must have shape"),
        (lambda: F.batch_norm_forward(x.astype(int)), TypeError, "x must be float32"),
        (lambda: F.batch_norm_forward(x, eps=-1), ValueError, "eps"),
        (lambda: F.batch_norm_backward(x[:1], x, np.zeros(3), np.ones(3)), ValueError, "dy"),
        (lambda: F.batch_norm_backward(x, x, np.zeros(2), np.ones(3)), ValueError, "mean"),
        (lambda: F.batch_norm_inference(x, np.zeros(3), np.ones((3, 1))), ValueError, "running_var"),
        (lambda: nn.BatchNorm2d(3).forward(x, True), ValueError, "BatchNorm2d"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_empty():
    assert F.batch_norm_inference(np.zeros((0, 3, 4, 4)), np.zeros(3), np.ones(3)).shape == (0, 3, 4, 4)
    assert F.batch_norm_forward(np.zeros((2, 0, 4)))[0].shape == (2, 0, 4)
