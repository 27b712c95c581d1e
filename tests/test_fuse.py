"""A fused network computes what the layers one by one do: outputs, gradients, statistics, inference."""

import numpy as np
import pytest

import cconv
from cconv import nn
from cconv.fuse import fuse
from cconv.nn.joined import ConcatNorm, ConvNorm, ConvReLU, LinearReLU, NormReLU, Residual
from cconv.nn.lanes import ConvChain


def _block(channels, stride=1):
    def conv_norm(inputs, kernel, step):
        return [
            nn.Conv2d(inputs, 2 * channels, kernel, step, kernel // 2, bias=False, rng=3),
            nn.BatchNorm2d(2 * channels),
        ]

    body = nn.Sequential(*conv_norm(channels, 3, stride), nn.ReLU(), *conv_norm(2 * channels, 3, 1))
    return nn.Sequential(nn.Sum(body, nn.Sequential(*conv_norm(channels, 1, stride))), nn.ReLU())


NETWORKS = {
    "lenet": (lambda: cconv.models.lenet5(rng=0), (5, 1, 28, 28), ConvChain),
    "one stage": (lambda: nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, rng=1), nn.ReLU(), nn.MaxPool2d(2)), (19, 3, 9, 7), ConvChain),
    "chain with padding": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 7, (3, 5), padding=((1, 0), (2, 3)), rng=1), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Conv2d(7, 11, 2, rng=2), nn.ReLU(), nn.MaxPool2d((2, 2)), nn.Flatten(), nn.Linear(88, 3, rng=3), nn.ReLU()),
        (33, 2, 12, 19), ConvChain),
    "conv relu pool": (lambda: nn.Sequential(nn.Conv2d(16, 33, 3, rng=1), nn.ReLU(), nn.MaxPool2d(3, 2)), (2, 16, 9, 9), nn.MaxPool2d),
    "conv relu": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, rng=1), nn.ReLU()), (2, 3, 9, 9), ConvReLU),
    "conv norm": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3, rng=1), nn.BatchNorm2d(8)), (2, 3, 9, 9), ConvNorm),
    "norm relu": (lambda: nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1, rng=1)), (3, 6, 5, 4), NormReLU),
    "residual": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, rng=1), _block(8), _block(16, 2)), (2, 3, 8, 8), Residual),
    "identity shortcut": (
        lambda: nn.Sequential(
            nn.Sum(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, rng=1), nn.BatchNorm2d(4)), nn.Sequential()), nn.ReLU(),
            nn.Sum(nn.Sequential(), nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, rng=2), nn.BatchNorm2d(4)))),
        (2, 4, 7, 7), Residual),
    "concat": (
        lambda: nn.Sequential(nn.Concat(
            nn.Sequential(nn.Conv2d(4, 3, 1, rng=1), nn.ReLU()), nn.Sequential(nn.Conv2d(4, 5, 3, padding=1, rng=2), nn.ReLU()))),
        (2, 4, 6, 6), ConvReLU),
    "concat of norms": (
        lambda: nn.Sequential(nn.Conv2d(3, 20, 3, padding=1, rng=1), nn.Concat(
            nn.Sequential(nn.Conv2d(20, 70, 1, rng=1), nn.BatchNorm2d(70), nn.ReLU()),
            nn.Sequential(nn.Conv2d(20, 5, 3, padding=1, rng=2), nn.BatchNorm2d(5)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(20, 7, 1, rng=3), nn.ReLU()),
            nn.Sequential())),
        (2, 3, 6, 6), ConcatNorm),
    "linear relu": (lambda: nn.Sequential(nn.Linear(12, 9, rng=1), nn.ReLU(), nn.Linear(9, 2, rng=2)), (7, 12), LinearReLU),
}  # fmt: skip


def _run(layer, parameters, x, dy):
    for parameter in parameters:
        parameter.zero_grad()
    y, backward = layer.forward(x, True)
    dx = backward(dy)
    return [y, dx, *(parameter.grad.copy() for parameter in parameters)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_fused_is_equal(name, dtype):
    make, shape, kind = NETWORKS[name]
    net = make().astype(dtype)
    fused = fuse(net)
    if dtype == np.float32 or kind is not ConvChain:
        assert any(isinstance(layer, kind) for _, layer in fused.named_layers())
    assert {id(p) for p in fused.parameters()} == {id(p) for p in net.parameters()}
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape).astype(dtype)
    dy = rng.standard_normal(net.output_shape(shape)).astype(dtype)
    parameters = list(net.parameters())
    bound = 2e-5 if dtype == np.float32 else 1e-12
    for ours, expected in zip(_run(fused, parameters, x, dy), _run(net, parameters, x, dy), strict=True):
        assert ours.shape == expected.shape
        assert np.linalg.norm(ours - expected) <= bound * np.linalg.norm(expected)
    assert np.linalg.norm(fused(x) - net(x)) <= bound * np.linalg.norm(net(x))
    assert fused.output_shape(shape) == net.output_shape(shape)


class _Half(nn.Layer):
    """A user's layer that does not tell its shape, nor that it gives float64."""

    def forward(self, x, train):
        return x[:, ::2].astype(np.float64), lambda dy, need_dx=True: np.repeat(dy, 2, axis=1).astype(np.float32)


def test_a_users_layer_beside_a_norm_may_give_what_it_likes():
    branch = nn.Sequential(nn.Conv2d(8, 4, 3, padding=1, rng=1), nn.BatchNorm2d(4))
    net = nn.Sequential(nn.Conv2d(3, 8, 1, rng=0), nn.Concat(branch, _Half()))
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
    expected, y = net.forward(x, True)[0], fuse(net).forward(x, True)[0]
    assert y.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_running_statistics_are_shared():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, rng=1), nn.BatchNorm2d(8), nn.ReLU())
    before = net[1].running_mean.data.copy()
    fuse(net).forward(np.random.default_rng(0).standard_normal((4, 3, 6, 6)).astype(np.float32), True)
    assert not np.array_equal(net[1].running_mean.data, before)
    assert net[1].num_batches_tracked.data == 1


def test_nan_passes_relu_and_pool_as_before():
    net = nn.Sequential(nn.Conv2d(1, 3, 3, rng=1), nn.ReLU(), nn.MaxPool2d(2))
    x = np.random.default_rng(0).standard_normal((20, 1, 8, 8)).astype(np.float32)
    x[3, 0, 2, 2] = np.nan
    np.testing.assert_array_equal(np.isnan(fuse(net)(x)), np.isnan(net(x)))


@pytest.mark.parametrize("name", ["lenet", "residual", "chain with padding"])
def test_threads_do_not_change_bits(name):
    make, shape, _ = NETWORKS[name]
    net = make()
    fused = fuse(net)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((37, *shape[1:])).astype(np.float32)
    dy = rng.standard_normal(net.output_shape(x.shape)).astype(np.float32)
    threads = cconv.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3, 7):
            cconv.set_num_threads(count)
            results.append([a.tobytes() for a in _run(fused, list(net.parameters()), x, dy)])
    finally:
        cconv.set_num_threads(threads)
    assert all(result == results[0] for result in results)
