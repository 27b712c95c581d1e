"""Running statistics of batch norm: both conventions of momentum and of variance, and those of a whole data set."""

import numpy as np
import pytest

import cconv
from cconv import functional as F
from cconv import nn


def data(n=37, shape=(3, 5, 4)):
    rng = np.random.default_rng(0)
    return 3 + rng.standard_normal((n, *shape)) * np.arange(1, 4).reshape(1, 3, 1, 1)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("batch_size", [1, 5, 37, 100])
def test_recalibration_equals_the_statistics_of_the_whole_set(unbiased, batch_size):
    x = data()
    net = nn.Sequential(nn.BatchNorm2d(3, unbiased=unbiased), nn.ReLU(), nn.Dropout(0.5)).astype(np.float64)
    assert cconv.recalibrate(net, x, batch_size) == 1
    norm = net[0]
    np.testing.assert_allclose(norm.running_mean.data, x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(norm.running_var.data, x.var((0, 2, 3), ddof=int(unbiased)), rtol=1e-12)
    assert norm.num_batches_tracked.data == -(-37 // batch_size)
    assert net[2].p == 0.5 and net[2].calls == 0 and "_track" not in vars(norm)
    y = net[0](x)
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-12)


def test_recalibration_of_a_model():
    x = (np.abs(data(20, (3, 4, 4))) * 20).astype(np.uint8)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, rng=0),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 8, rng=1),
        nn.BatchNorm1d(8),
    )
    model = cconv.Model(net)
    assert cconv.recalibrate(model, x) == 2
    batch = net[0](x.astype(np.float32) / 255)
    np.testing.assert_allclose(net[1].running_mean.data, batch.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    assert model.predict(x).std() > 0.5


def test_recalibration_refuses_and_keeps():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.BatchNorm1d(60))
    before = net.state_dict()
    for x, error in (
        (data(3)[:0], ValueError),
        (data(1), ValueError),  # one value a channel for the second norm
        (np.zeros((2, 3, 5, 4), int), TypeError),
        (np.float64(3), ValueError),
    ):
        with pytest.raises(error):
            cconv.recalibrate(net, x)
    with pytest.raises(ValueError, match="batch_size"):
        cconv.recalibrate(net, data(), 0)
    with pytest.raises(TypeError, match="net"):
        cconv.recalibrate("net", data())
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    assert "_track" not in vars(net[0])


X = np.array([[[4 * c + i + 1 + n for i in range(4)] for c in range(3)] for n in range(4)], float)


@pytest.mark.parametrize("options", [{"momentum": 0.1}, {"decay": 0.9}])
def test_both_conventions(options):
    """pytorch#60528: running_var 1.1667 unbiased (PyTorch), 1.15 biased (CS231n, Keras)."""
    for unbiased, expected in ((True, 7 / 6), (False, 1.15)):
        norm = nn.BatchNorm1d(3, **options, unbiased=unbiased, dtype=np.float64)
        norm.forward(X, True)
        np.testing.assert_allclose(norm.running_mean.data, [0.4, 0.8, 1.2], rtol=1e-12)
        np.testing.assert_allclose(norm.running_var.data, expected, rtol=1e-12)
        _, mean, rstd = F.batch_norm_forward(X, eps=1e-5)
        moved = F.batch_norm_running(
            np.zeros(3), np.ones(3), mean, 1 / rstd**2 - 1e-5, 16, **options, unbiased=unbiased
        )
        np.testing.assert_allclose(moved, [norm.running_mean.data, norm.running_var.data], rtol=1e-10)


def test_errors():
    four = np.ones(4)
    for call, error, message in [
        (lambda: nn.BatchNorm2d(3, momentum=2), ValueError, "momentum"),
        (lambda: nn.BatchNorm2d(3, momentum="0.1"), TypeError, "momentum"),
        (lambda: nn.BatchNorm2d(3, decay=-1), ValueError, "decay"),
        (lambda: nn.BatchNorm2d(3, decay=True), TypeError, "decay"),
        (lambda: nn.BatchNorm2d(3.0), TypeError, "num_features"),
        (lambda: nn.BatchNorm2d(3, eps=-1), ValueError, "eps"),
        (lambda: F.batch_norm_running(four, four, four, four[:3], 2), ValueError, "var"),
        (lambda: F.batch_norm_running(four, four, four, four, 1), ValueError, "count"),
        (lambda: F.batch_norm_running(four, four, four, four, 2, None), (TypeError, ValueError), "momentum"),
        (lambda: F.batch_norm_running(1.0, four, four, four, 2), ValueError, "running_mean"),
    ]:
        with pytest.raises(error, match=message):
            call()
