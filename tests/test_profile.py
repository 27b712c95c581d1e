"""The profile of a step: its rows, their sum, the algorithms, and the picture."""

import sys

import numpy as np
import pytest
from small_model import weights

import cconv
from cconv import models, nn, optim
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


class Slow(nn.Layer):
    """Takes seconds of `now`, as many as it is told."""

    def __init__(self, now, forward, backward):
        self.now, self.seconds = now, (forward, backward)

    def forward(self, x, train):
        self.now[0] += self.seconds[0]

        def backward(dy, need_dx=True):
            self.now[0] += self.seconds[1]
            return dy

        return x, backward

    def output_shape(self, input_shape):
        return input_shape

    def __deepcopy__(self, memo):
        return Slow(self.now, *self.seconds)


def test_total_is_the_step(monkeypatch):
    """With a clock that only layers, the loss and the optimiser move; benchmarks/bench_plan.py does it with a real one."""
    now = [0.0]
    monkeypatch.setattr(sys.modules["cconv.profile"], "perf_counter", lambda: now[0])
    inside = nn.Sequential(Slow(now, 4, 8), nn.ReLU(), Slow(now, 16, 32))
    net = nn.Sequential({
        "first": nn.Linear(4, 4, rng=0),
        "body": nn.Sum(inside, nn.Identity()),
        "both": nn.Concat(Slow(now, 64, 128), Slow(now, 256, 512)),
        "last": Slow(now, 1, 2),
    })  # fmt: skip

    class SlowLoss(nn.CrossEntropyLoss):
        def forward(self, outputs, target):
            now[0] += 1024
            value, inner = super().forward(outputs, target)

            def backward():
                now[0] += 2048
                return inner()

            return value, backward

    class SlowSGD(optim.SGD):
        def step(self, *args, **kwargs):
            now[0] += 4096
            return super().step(*args, **kwargs)

    def slow_metric(outputs, target):
        now[0] += 8192
        return 0.0

    model = cconv.Model(net, loss=SlowLoss(), optimizer=SlowSGD(0.1), metrics=[slow_metric])
    profile = model.profile(np.ones((2, 4), np.float32), np.zeros(2, np.int64), steps=2)
    assert profile.step == profile.total == 2**14 - 1
    seconds = {row.name: (row.forward, row.backward) for row in profile}
    assert seconds["first"] == (0, 0) and seconds["last"] == (1, 2)
    assert [seconds[f"body.0.{i}"] for i in (0, 2)] == [(4, 8), (16, 32)]
    assert [seconds[f"both.{i}"] for i in (0, 1)] == [(64, 128), (256, 512)]
    assert (seconds["loss"], seconds["optimizer"], seconds["rest"]) == ((1024, 2048), (0, 4096), (0, 8192))


def test_roofline(model, batch):
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")
    figure = cconv.plot.roofline(model.profile(*batch, steps=1))
    assert len(figure.axes[0].texts) == 4
