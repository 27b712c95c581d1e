"""The profile of a step: its rows, their sum, the algorithms, and the picture."""

import numpy as np
import pytest
from small_model import weights

import cconv
from cconv import models, nn
from cconv.functional.machine import peaks


@pytest.fixture(scope="module")
def model():
    return cconv.Model(models.lenet5(rng=0))


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((32, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 32)


def test_peaks():
    one = peaks()
    assert one.gflops > 0.1 and one.gbytes > 0.1
    assert peaks() is one


def test_rows(model, batch):
    before = weights(model)
    profile = model.profile(*batch, steps=3)
    assert weights(model) == before and not model.optimizer.grad.any()
    names = [row.name for row in profile]
    assert names[0].startswith("conv1") and names[-3:] == ["loss", "optimizer", "rest"]
    macs = sum(row.macs for row in cconv.summary.summary(model.net, (1, 28, 28), 32))
    assert sum(row.forward_flops for row in profile) == 2 * macs
    assert profile.total == pytest.approx(sum(row.forward + row.backward for row in profile))
    for row in profile:
        assert row.seconds >= 0 and row.of_compute >= 0 and row.of_memory >= 0
    assert "GFLOP/s" in repr(profile) and len(repr(profile).splitlines()) == len(profile) + 3


@pytest.mark.row("2.10")
def test_algorithms(batch):
    net = models.resnet20(rng=0)
    x = np.zeros((4, 3, 32, 32), np.float32)
    rows = {row.name: row for row in cconv.Model(net).profile(x, batch[1][:4], steps=1)}
    used = rows["layer1.0.conv1+bn1"].algorithms
    assert [one.phase for one in used] == ["forward", "backward_data", "backward_weight"]
    for one in used:
        assert one.name != one.runner_up and one.runner_up is not None
    asked = nn.Sequential(nn.Conv2d(3, 4, 3, algo="im2col", rng=0), nn.Flatten(), nn.Linear(4 * 900, 10, rng=0))
    row = cconv.Model(asked).profile(x, batch[1][:4], steps=1)[0]
    assert row.name == "0" and {one.name for one in row.algorithms} == {"im2col"}


@pytest.mark.parametrize("name, options", [("lenet5", {}), ("resnet20", {}), ("vgg16", {"variant": "cifar10"})])
def test_total_is_the_step(name, options):
    shape = (1, 28, 28) if name == "lenet5" else (3, 32, 32)
    model = cconv.Model(models.create(name, rng=0, **options))
    x = np.random.default_rng(0).standard_normal((32, *shape)).astype(np.float32)
    errors = []
    # On a busy machine a single measurement says little.
    for _ in range(20):
        profile = model.profile(x, np.arange(32) % 10, steps=3)
        errors.append(abs(profile.total / profile.step - 1))
        if errors[-1] < 0.1:
            break
    assert min(errors) < 0.1


def test_roofline(model, batch):
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")
    figure = cconv.plot.roofline(model.profile(*batch, steps=1))
    assert len(figure.axes[0].texts) == 4
