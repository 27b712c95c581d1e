"""The memory plan is what happens: the arena's peak, the growth of the process, and the model stays as it was."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from small_model import small_model, weights

import cconv
from cconv import _runtime, models, nn, optim

NETWORKS = {
    "lenet5": ((1, 28, 28), {}),
    "resnet20": ((3, 32, 32), {}),
    "vgg16": ((3, 32, 32), {"variant": "cifar10"}),
}


def measured(model, batch_size, shape):
    """The arena's peak in a step, above what was in use."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((batch_size, *shape)).astype(np.float32), rng.integers(0, 10, batch_size)
    before = _runtime.arena_stats()["in_use"]
    _runtime.arena_reset_peak()
    model._step(x, y, "the test")
    return _runtime.arena_stats()["peak"] - before


@pytest.mark.row("2.03")
@pytest.mark.parametrize("batch_size", [3, 64])
@pytest.mark.parametrize("name", NETWORKS)
def test_plan_is_the_arena(name, batch_size):
    shape, options = NETWORKS[name]
    model = cconv.Model(models.create(name, rng=0, **options))
    plan = model.memory_plan(batch_size, shape)
    assert plan.peak == pytest.approx(measured(model, batch_size, shape), rel=0.02)
    text = repr(plan)
    for word in ("parameters", "gradients", "optimiser state", "peak", "activation", "im2col", "winograd"):
        assert word in text
    lasting = plan.parameters + plan.gradients + plan.optimizer_state
    assert plan.total == plan.reserved + plan.temporaries + lasting and plan.temporaries < 3e6
    assert plan.peak <= plan.reserved <= 1.1 * plan.peak + (2 << 20)
    assert plan.timeline.max() == plan.peak and len(plan) == len(list(plan)) > 10


GROWTH = """
import re, sys
import numpy as np
import cconv
from cconv import models

def resident():
    return 1024 * int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read()).group(1))

name, batch_size, shape, options = sys.argv[1], int(sys.argv[2]), eval_shape(sys.argv[3]), {}
if name == "vgg16":
    options["variant"] = "cifar10"
# Whatever is loaded on first use.
small = cconv.Model(models.resnet20(rng=0))
small.memory_plan(2, (3, 32, 32))
small.train_on_batch(np.zeros((2, 3, 32, 32), np.float32), [0, 1])
model = cconv.Model(models.create(name, rng=0, **options))
rng = np.random.default_rng(0)
x, y = rng.standard_normal((batch_size, *shape)).astype(np.float32), rng.integers(0, 10, batch_size)
plan = model.memory_plan(batch_size, shape)
before = resident()
model.train_on_batch(x, y)
model.train_on_batch(x, y)
print(resident() - before, plan.total - plan.parameters)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the resident size is read from /proc")
@pytest.mark.parametrize("name, batch_size", [("lenet5", 512), ("resnet20", 128), ("vgg16", 64)])
def test_growth_of_the_process(name, batch_size):
    shape = NETWORKS[name][0]
    code = GROWTH.replace("eval_shape(sys.argv[3])", repr(shape))
    arguments = [sys.executable, "-c", code, name, str(batch_size)]
    root = Path(cconv.__file__).parents[1]
    answer = subprocess.run(arguments, cwd=root, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    grown, planned = map(int, answer.stdout.split())
    assert abs(grown - planned) <= 0.05 * planned + 20e6, (grown, planned)


def test_a_plan_takes_nothing():
    model = cconv.Model(models.vgg16(variant="cifar10", rng=0))
    in_use, before = _runtime.arena_stats()["in_use"], weights(model)
    plan = model.memory_plan(4096, (3, 32, 32))
    assert plan.peak > 4e9
    assert _runtime.arena_stats()["in_use"] == in_use
    assert weights(model) == before and model.optimizer.steps == 0
    # Kernels work again.
    y = cconv.functional.linear(np.ones((2, 3)), np.ones((4, 3)))
    assert (y == 3).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_lies_in_the_arena(value):
    """Inf and NaN that others left there make convolutions of the rehearsal no longer than they are."""
    model = cconv.Model(models.googlenet(num_classes=10, rng=0))
    plan = model.memory_plan(2, (3, 32, 32))
    blocks = [_runtime.empty((1 << 16,)) for _ in range(200)]
    for block in blocks:
        block.fill(value)
    del block, blocks
    again = model.memory_plan(2, (3, 32, 32))
    assert [one.bytes for one in again] == [one.bytes for one in plan]


@pytest.mark.row("2.02")
def test_im2col_lines():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, algo="im2col", rng=0), nn.Flatten(), nn.Linear(8 * 30 * 30, 10, rng=0))
    plan = cconv.Model(net, optimizer=optim.Adam()).memory_plan(8, (3, 32, 32))
    assert plan.im2col_untiled == 8 * 27 * 30 * 30 * 4
    assert plan.im2col_duplication == pytest.approx(27 * 900 / (3 * 1024))
    assert 0 < plan.workspaces["im2col"] < 64e6
    assert plan.optimizer_state == 2 * plan.parameters


def test_what_numpy_takes():
    net = nn.Sequential(nn.LocalResponseNorm(5), nn.Flatten(), nn.Linear(8 * 64 * 64, 10, rng=0))
    model, x = cconv.Model(net), np.zeros((16, 8, 64, 64), np.float32)
    plan = model.memory_plan(16, (8, 64, 64))
    model.train_on_batch(x, np.zeros(16, np.int64))
    tracemalloc.start()
    model.train_on_batch(x, np.zeros(16, np.int64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert plan.temporaries > x.nbytes and plan.temporaries == pytest.approx(peak, rel=0.1)


def test_arguments():
    model = small_model()
    with pytest.raises(ValueError, match="input_shape"):
        model.memory_plan(4)
    with pytest.raises(ValueError, match="batch_size"):
        model.memory_plan(0, (1, 8, 8))
    with pytest.raises(ValueError):
        cconv.Model(models.lenet5(rng=0)).memory_plan(4, (3, 5, 5))
