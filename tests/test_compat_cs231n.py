"""The course's names: values it publishes, its gradient checks, its conventions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cconv.compat import cs231n
from cconv.compat.cs231n import *  # noqa: F403

C = cs231n
MODULES = ("fast_layers", "gradient_check", "layer_utils", "layers", "optim")


def error(a, b):
    """The course's relative error."""
    return np.max(np.abs(a - b) / np.maximum(1e-8, np.abs(a) + np.abs(b)))


def checked(f, dout, x, dx, most=1e-7):
    assert dx.shape == x.shape and dx.dtype == x.dtype
    assert error(C.eval_numerical_gradient_array(lambda _: f(), x, dout), dx) < most


@pytest.fixture
def draw():
    rng = np.random.default_rng(231)
    return lambda *shape: rng.standard_normal(shape)


@pytest.mark.row("8.07")
def test_all_names():
    assert all(callable(getattr(C, name)) or name in MODULES for name in C.__all__)
    for name in MODULES:
        assert all(callable(getattr(getattr(C, name), each)) for each in getattr(C, name).__all__)
    for part in ("conv", "max_pool"):
        for kind in ("naive", "fast", "im2col"):
            assert f"{part}_forward_{kind}" in C.__all__ and f"{part}_backward_{kind}" in C.__all__


@pytest.mark.row("8.01")
def test_affine_forward():
    x = np.linspace(-0.1, 0.5, 240).reshape(2, 4, 5, 6)
    w, b = np.linspace(-0.2, 0.3, 360).reshape(120, 3), np.linspace(-0.3, 0.1, 3)
    expected = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    assert error(C.affine_forward(x, w, b)[0], np.array(expected)) < 2e-9


@pytest.mark.row("8.04")
@pytest.mark.parametrize("conv", [C.conv_forward_naive, C.conv_forward_fast, C.conv_forward_im2col])
def test_conv_forward(conv):
    x = np.linspace(-0.1, 0.5, 96).reshape(2, 3, 4, 4)
    w, b = np.linspace(-0.2, 0.3, 144).reshape(3, 3, 4, 4), np.linspace(-0.1, 0.2, 3)
    out, _ = conv(x, w, b, {"stride": 2, "pad": 1})
    expected = [
        -0.08759809, -0.10987781, -0.18387192, -0.2109216, 0.21027089, 0.21661097, 0.22847626, 0.23004637,
        0.50813986, 0.54309974, 0.64082444, 0.67101435, -0.98053589, -1.03143541, -1.19128892, -1.24695841,
        0.69108355, 0.66880383, 0.59480972, 0.56776003, 2.36270298, 2.36904306, 2.38090835, 2.38247847,
    ]  # fmt: skip
    assert_allclose(out.ravel(), expected, atol=5.1e-9)


@pytest.mark.row("8.05")
@pytest.mark.parametrize("pool", [C.max_pool_forward_naive, C.max_pool_forward_fast, C.max_pool_forward_im2col])
def test_max_pool_forward(pool):
    x = np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4)
    out, _ = pool(x, {"pool_height": 2, "pool_width": 2, "stride": 2})
    assert_allclose(out[0, 0], [[-0.26315789, -0.24842105], [-0.20421053, -0.18947368]], atol=5.1e-9)
    assert_allclose(out[1, 2], [[0.32631579, 0.34105263], [0.38526316, 0.4]], atol=5.1e-9)


@pytest.mark.row("8.06")
def test_relu_forward():
    out, _ = C.relu_forward(np.linspace(-0.5, 0.5, 12).reshape(3, 4))
    expected = [[0, 0, 0, 0], [0, 0, 0.04545455, 0.13636364], [0.22727273, 0.31818182, 0.40909091, 0.5]]
    assert_allclose(out, expected, atol=5.1e-9)


@pytest.mark.row("8.07")
def test_affine_gradients(draw):
    x, w, b, dout = draw(6, 2, 3), draw(6, 5), draw(5), draw(6, 5)
    for forward, backward in (
        (C.affine_forward, C.affine_backward),
        (C.affine_relu_forward, C.affine_relu_backward),
    ):
        for array, gradient in zip((x, w, b), backward(dout, forward(x, w, b)[1]), strict=True):
            checked(lambda forward=forward: forward(x, w, b)[0], dout, array, gradient)


@pytest.mark.parametrize("kind", ["naive", "fast", "im2col"])
def test_conv_gradients(draw, kind):
    forward, backward = getattr(C, f"conv_forward_{kind}"), getattr(C, f"conv_backward_{kind}")
    x, w, b, dout = draw(2, 3, 5, 5), draw(2, 3, 3, 3), draw(2), draw(2, 2, 5, 5)
    param = {"stride": 1, "pad": 1}
    for array, gradient in zip((x, w, b), backward(dout, forward(x, w, b, param)[1]), strict=True):
        checked(lambda: forward(x, w, b, param)[0], dout, array, gradient)


def test_sandwich_gradients(draw):
    x, w, b, gamma, beta = draw(2, 3, 6, 6), draw(3, 3, 3, 3), draw(3), draw(3), draw(3)
    conv, pool, norm = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}, {"mode": "train"}
    for forward, backward, arrays, options in (
        (C.conv_relu_forward, C.conv_relu_backward, (x, w, b), (conv,)),
        (C.conv_relu_pool_forward, C.conv_relu_pool_backward, (x, w, b), (conv, pool)),
        (C.conv_bn_relu_forward, C.conv_bn_relu_backward, (x, w, b, gamma, beta), (conv, norm)),
    ):
        out, cache = forward(*arrays, *options)
        dout = draw(*out.shape)
        for array, gradient in zip(arrays, backward(dout, cache), strict=True):
            if array is b and norm in options:
                assert np.abs(gradient).max() < 1e-12
                continue
            checked(lambda f=forward, a=arrays, o=options: f(*a, *o)[0], dout, array, gradient, 1e-5)


@pytest.mark.row("8.07")
def test_batch_norm_conventions(draw):
    x, gamma, beta = draw(8, 3), np.array([1.0, 2, 3]), np.array([11.0, 12, 13])
    param = {"mode": "train"}
    out, _ = C.batchnorm_forward(x, gamma, beta, param)
    assert_allclose(out.mean(0), beta)
    assert_allclose(out.std(0), gamma, atol=2e-4)
    assert_allclose(param["running_mean"], 0.1 * x.mean(0))
    assert_allclose(param["running_var"], 0.1 * x.var(0))
    ramp = 4 * np.arange(3)[:, None] + np.arange(4) + np.arange(4)[:, None, None] + 1.0
    param = {"mode": "train", "running_mean": np.zeros(3), "running_var": np.ones(3)}
    C.spatial_batchnorm_forward(ramp[..., None], np.ones(3), np.zeros(3), param)
    assert_allclose(param["running_mean"], [0.4, 0.8, 1.2])
    assert_allclose(param["running_var"], [1.15] * 3)
    param["mode"] = "test"
    out, _ = C.batchnorm_forward(x, gamma, beta, param)
    assert_allclose(out, gamma * (x - [0.4, 0.8, 1.2]) / np.sqrt(1.15 + 1e-5) + beta)
    with pytest.raises(ValueError, match="mode"):
        C.batchnorm_forward(x, gamma, beta, {"mode": "validate"})


@pytest.mark.parametrize("mode", ["train", "test"])
def test_batch_norm_gradients(draw, mode):
    x, gamma, beta, dout = draw(6, 4), draw(4), draw(4), draw(6, 4)
    param = {"mode": mode, "running_mean": draw(4), "running_var": np.abs(draw(4)) + 0.5}

    def forward():
        return C.batchnorm_forward(x, gamma, beta, dict(param))

    for backward in (C.batchnorm_backward, C.batchnorm_backward_alt):
        for array, gradient in zip((x, gamma, beta), backward(dout, forward()[1]), strict=True):
            checked(lambda: forward()[0], dout, array, gradient, 1e-6)


def test_norms_over_samples(draw):
    x, gamma, beta, dout = draw(4, 6), draw(6), draw(6), draw(4, 6)
    grads = C.layernorm_backward(dout, C.layernorm_forward(x, gamma, beta, {})[1])
    for array, gradient in zip((x, gamma, beta), grads, strict=True):
        checked(lambda: C.layernorm_forward(x, gamma, beta, {})[0], dout, array, gradient, 1e-6)
    x, dout, gamma, beta = draw(2, 6, 3, 2), draw(2, 6, 3, 2), draw(1, 6, 1, 1), draw(1, 6, 1, 1)
    grads = C.spatial_groupnorm_backward(dout, C.spatial_groupnorm_forward(x, gamma, beta, 2, {})[1])
    for array, gradient in zip((x, gamma, beta), grads, strict=True):
        checked(lambda: C.spatial_groupnorm_forward(x, gamma, beta, 2, {})[0], dout, array, gradient, 1e-5)


def test_dropout():
    x = np.ones((500, 500)) * 10
    out, cache = C.dropout_forward(x, {"mode": "train", "p": 0.7})
    assert abs(out.mean() - 10) < 0.05 and abs((out == 0).mean() - 0.3) < 0.01
    assert_array_equal(C.dropout_backward(x, cache), out)
    seeded = {"mode": "train", "p": 0.7, "seed": 123}
    assert_array_equal(C.dropout_forward(x, seeded)[0], C.dropout_forward(x, seeded)[0])
    assert_array_equal(C.dropout_forward(x, {"mode": "test", "p": 0.7})[0], x)


def test_losses(draw):
    x, y = 0.001 * draw(50, 10), np.arange(50) % 10
    for loss, expected in ((C.svm_loss, 9), (C.softmax_loss, np.log(10))):
        value, dx = loss(x, y)
        assert abs(value - expected) < 0.01
        numeric = C.eval_numerical_gradient(lambda x, loss=loss: loss(x, y)[0], x, verbose=False)
        assert error(dx, numeric) < 1e-6


def test_update_rules():
    w, dw = np.linspace(-0.4, 0.6, 20).reshape(4, 5), np.linspace(-0.6, 0.4, 20).reshape(4, 5)
    state = np.linspace(0.6, 0.9, 20).reshape(4, 5)
    after, config = C.sgd_momentum(w, dw, {"learning_rate": 1e-3, "velocity": state.copy()})
    assert_allclose([after[0, 0], after[3, 4]], [0.1406, 1.4096], atol=5e-9)
    assert_allclose([config["velocity"][0, 0], config["velocity"][0, 1]], [0.5406, 0.55475789], atol=5e-9)
    after, config = C.rmsprop(w, dw, {"learning_rate": 1e-2, "cache": state.copy()})
    assert_allclose([after[0, 0], after[3, 4]], [-0.39223849, 0.59576619], atol=5.1e-9)
    assert_allclose([config["cache"][0, 1], config["cache"][3, 4]], [0.6126277, 0.8926], atol=5.1e-9)
    second = np.linspace(0.7, 0.5, 20).reshape(4, 5)
    after, config = C.adam(w, dw, {"learning_rate": 1e-2, "m": state.copy(), "v": second, "t": 5})
    assert_allclose([after[0, 0], after[3, 4]], [-0.40094747, 0.59801459], atol=5.1e-9)
    assert config["t"] == 6 and abs(config["m"][0, 1] - 0.49947368) < 5.1e-9
    assert C.sgd(w, dw)[0] is w
