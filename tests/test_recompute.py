"""Layers that run again in backward: the same bits, the memory that the plan says, no effect twice."""

import numpy as np
import pytest
from small_model import weights

import cconv
from cconv import _runtime, models, nn, optim
from cconv.recompute import Unit, stretches


def network(wrap):
    """Every kind of effect on a layer: running statistics, two dropouts, one layer in two places."""
    shared = nn.Dropout(0.3, rng=7)
    norm = nn.BatchNorm2d(6, momentum=None)
    inner = wrap(nn.Conv2d(6, 6, 3, padding=1, rng=1), norm, nn.ReLU(), shared)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, rng=0),
        wrap(nn.BatchNorm2d(6), nn.Sum(inner, nn.Sequential()), nn.AlphaDropout(0.2, rng=2), shared, nn.MaxPool2d(2)),
        nn.Flatten(),
        wrap(nn.Linear(150, 20, rng=3), nn.ReLU(), nn.Dropout(rng=4)),
        nn.Linear(20, 10, rng=5),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 3, 12, 12)).astype(dtype), rng.integers(0, 10, 8)
    results = []
    for wrap in (nn.Sequential, nn.Recompute):
        net = network(wrap).astype(dtype)
        model = cconv.Model(net, optimizer=optim.SGD(0.05, momentum=0.9))
        losses = [model.train_on_batch(x, y)["loss"] for _ in range(3)]
        counts = [layer.random_state() for _, layer in net.named_layers() if isinstance(layer, nn.Dropout)]
        results.append((losses, weights(model), counts))
    assert results[0] == results[1]
    assert all(tracked == 3 for key, tracked in net.state_dict().items() if "batches" in key)


def test_layer():
    layers = [nn.Conv2d(2, 3, 3, rng=0), nn.BatchNorm2d(3), nn.ReLU()]
    plain, again = nn.Sequential(*layers), nn.Recompute(*layers)
    assert list(again.state_dict()) == list(plain.state_dict())
    assert cconv.gradcheck(again, np.random.default_rng(0).standard_normal((2, 2, 5, 5))).passed
    rebuilt = nn.build(nn.describe(again))
    assert type(rebuilt) is nn.Recompute and len(rebuilt) == 3
    x = np.random.default_rng(1).standard_normal((2, 2, 5, 5)).astype(np.float32)
    assert again(x).tobytes() == plain(x).tobytes()
    y, backward = nn.Recompute().forward(x, True)
    assert y is x and backward(x) is x


def test_auxiliary_heads():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 3, 6, 6)).astype(np.float32), rng.integers(0, 5, 4)

    def trained(wrap):
        head = nn.Auxiliary(nn.Flatten(), nn.Linear(64, 5, rng=1))
        body = wrap(nn.Conv2d(3, 4, 3, rng=0), nn.ReLU(), head, nn.Dropout(rng=3))
        model = cconv.Model(nn.Sequential(body, nn.Flatten(), nn.Linear(64, 5, rng=2)))
        model.train_on_batch(x, y)
        return weights(model)

    assert trained(nn.Sequential) == trained(nn.Recompute)


CASES = {
    "resnet20": ((3, 32, 32), 32, {}, lambda: optim.Adam(ema=0.9)),
    "vgg16": ((3, 32, 32), 64, {"variant": "cifar10"}, lambda: optim.SGD(momentum=0.9, clip_norm=1.0)),
    "googlenet": ((3, 64, 64), 8, {"aux_logits": True, "variant": "paper", "num_classes": 10}, optim.SGD),
}


@pytest.mark.parametrize(
    "name, threads, share",
    # GoogLeNet's workspaces of one thread leave less to save.
    [
        ("resnet20", 1, 0.6),
        ("resnet20", 2, 0.6),
        ("vgg16", 1, 0.9),
        ("vgg16", 2, 0.9),
        ("googlenet", 1, 0.8),
        ("googlenet", 2, 0.7),
    ],
)
def test_less_memory(name, threads, share):
    cconv.set_num_threads(threads)
    shape, batch_size, options, optimizer = CASES[name]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((batch_size, *shape)).astype(np.float32), rng.integers(0, 10, batch_size)

    def model():
        return cconv.Model(models.create(name, rng=0, **options), optimizer=optimizer())

    plain, spare = model(), model()
    whole = plain.memory_plan(batch_size, shape)
    most = whole.total - int(whole.peak * (1 - share))
    plan = spare.memory_plan(batch_size, shape, max_memory=most)
    assert plan.total <= most < whole.total
    assert plan.batch_size == batch_size and plan.accumulate == 1 and plan.stretches
    assert "forward again" in plan.cost and 0 < plan.extra_work < 1 / 3
    spare.recompute(plan.stretches)
    in_use = _runtime.arena_stats()["in_use"]
    _runtime.arena_reset_peak()
    for model in (spare, plain):
        model.train_on_batch(x, y)
        if model is spare:
            assert plan.peak == pytest.approx(_runtime.arena_stats()["peak"] - in_use, rel=0.02)
    assert weights(spare) == weights(plain)
    # What the model does now is what it plans and profiles.
    assert spare.memory_plan(batch_size, shape).peak == plan.peak
    rows = {row.name: row for row in spare.profile(x[:8], y[:8], steps=1)}
    assert any(row.forward_flops and row.backward_flops == 3 * row.forward_flops for row in rows.values())
    spare.recompute(())
    assert spare.memory_plan(batch_size, shape).peak == whole.peak


def test_split_batches_where_that_is_not_enough():
    normed = cconv.Model(models.resnet20(rng=0))
    plan = normed.memory_plan(64, (3, 32, 32), max_memory=30_000_000)
    assert plan.accumulate > 1 and plan.accumulate * plan.batch_size >= 64 and plan.total <= 30_000_000
    assert "batch norm sees" in plan.cost and "other results" in plan.cost
    plain = cconv.Model(models.lenet5(rng=0))
    whole = plain.memory_plan(4096, (1, 28, 28))
    plan = plain.memory_plan(4096, (1, 28, 28), max_memory=whole.total // 2)
    assert plan.accumulate > 1 and "gradients added up" in plan.cost and "batch norm" not in plan.cost
    assert plain.memory_plan(64, (1, 28, 28), max_memory=10**9).cost == ""
    for too_little in (1000, 1):
        with pytest.raises(ValueError, match="max_memory"):
            plain.memory_plan(512, (1, 28, 28), max_memory=too_little)
    with pytest.raises(ValueError, match="max_memory"):
        plain.memory_plan(512, (1, 28, 28), max_memory=0)


def test_stretches():
    # Ten units that each keep 10 bytes; 10 more while they run.
    units = [Unit(str(i), 10, 10, True, 20, 20, 1.0) for i in range(10)]
    assert stretches(units, 110) == ()
    assert stretches(units, 10) is None
    for most in range(20, 110):
        chosen = stretches(units, most)
        if chosen is not None:
            again = [i for begin, end in chosen for i in range(begin, end)]
            assert len(set(again)) == len(again)
    # The dearest unit is left alone where another one will do.
    units = [
        Unit("a", 50, 10, True, 60, 60, 5.0),
        Unit("b", 50, 10, True, 60, 60, 1.0),
        Unit("c", 10, 10, True, 60, 60, 5.0),
    ]
    assert stretches(units, 120) == ((1, 2),)


def test_arguments():
    model = cconv.Model(models.lenet5(rng=0))
    for wrong in [((0, 99),), ((1, 1),), ((0, 2), (1, 3)), ((-1, 1),)]:
        with pytest.raises(ValueError, match="stretches"):
            model.recompute(wrong)
    with pytest.raises(ValueError, match="one after the other"):
        cconv.Model(nn.Linear(3, 2, rng=0)).recompute(((0, 1),))
    assert model.recomputed == ()
