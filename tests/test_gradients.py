"""`cconv.gradcheck` and `Model.gradcheck`: right gradients pass, a wrong one is found and named."""

import numpy as np
import pytest
from small_model import small_data, small_model, weights

import cconv
from cconv import models, nn


class Crooked(nn.Linear):
    """A layer whose weight gradient is wrong in one element."""

    def forward(self, x, train):
        y, inner = super().forward(x, train)

        def backward(dy, need_dx=True):
            dx = inner(dy, need_dx)
            self.weight.grad[1, 2] *= 1.01
            return dx

        return y, backward


@pytest.mark.parametrize(
    "layer, shape",
    [
        (nn.Conv2d(3, 4, 3, padding=1, rng=0), (2, 3, 5, 5)),
        (nn.BatchNorm2d(3), (2, 3, 4, 4)),
        (nn.MaxPool2d(2), (1, 2, 4, 4)),
        (nn.Dropout(0.5, rng=0), (3, 7)),
        (nn.Sequential(nn.Conv2d(2, 3, 3, rng=0), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten()), (3, 2, 5, 5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers(layer, shape):
    before = {name: array.tobytes() for name, array in layer.state_dict().items()}
    x = np.random.default_rng(1).standard_normal(shape)
    report = cconv.gradcheck(layer, x, samples=200)
    assert report.passed and report, report
    assert report.worst.error < 1e-5
    assert {one.array for one in report} == {"x", *dict(layer.named_parameters())}
    assert {name: array.tobytes() for name, array in layer.state_dict().items()} == before


def test_a_wrong_element_is_named():
    report = cconv.gradcheck(Crooked(3, 2, rng=0), np.random.default_rng(0).standard_normal((4, 3)))
    assert not report.passed
    assert (report.worst.array, report.worst.index) == ("weight", (1, 2))
    assert report.worst.error == pytest.approx(0.01, rel=0.05)
    assert "weight[1, 2]" in repr(report) and "FAILED" in repr(report)


def test_a_nan_fails():
    layer = nn.Linear(2, 2, rng=0)
    layer.weight.data[0, 0] = np.nan
    assert not cconv.gradcheck(layer, np.ones((2, 2))).passed


def test_model_is_unchanged():
    model, ((x, y), _) = small_model(), small_data(20)
    before = weights(model)
    report = model.gradcheck(x[:8], y[:8])
    assert report.passed, report
    assert len(report) == 3
    assert weights(model) == before and not model.optimizer.grad.any()


@pytest.mark.parametrize("name, shape", [("lenet5", (1, 28, 28)), ("resnet20", (3, 32, 32))])
def test_networks(name, shape):
    net = models.create(name, rng=0)
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    report = cconv.Model(net).gradcheck(x, np.arange(2), samples=1)
    assert report.passed, report


def test_arguments():
    with pytest.raises(TypeError, match="layer"):
        cconv.gradcheck(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="samples"):
        cconv.gradcheck(nn.ReLU(), np.ones(3), samples=0)
    with pytest.raises(ValueError, match="length"):
        small_model().gradcheck(np.ones((2, 1, 8, 8)), [1])


def test_equal_pixels_under_a_maximum_are_no_mistake():
    """Real images have flat regions: there a maximum has no derivative, but slopes to both sides."""
    (x, y), _ = cconv.data.digits()
    model = cconv.Model(models.lenet5(rng=0))
    assert model.gradcheck(x[:2], y[:2]).passed


def test_a_wrong_slope_at_a_kink_is_still_wrong():
    class Wrong(nn.Layer):
        def forward(self, x, train):
            return np.maximum(x, 0), lambda dy: dy * (x >= 0) * 1.5

    assert not cconv.gradcheck(Wrong(), np.zeros((2, 3))).passed
