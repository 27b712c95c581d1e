"""Schedules against torch's where it has the same, and their ends and corners where not."""

import math

import pytest

from cconv.optim.schedules import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LinearWarmup,
    MultiStepLR,
    OneCycleLR,
    StepLR,
)


@pytest.mark.parametrize(
    "schedule, name, options",
    [
        (StepLR(0.5, 7), "StepLR", {"step_size": 7}),
        (StepLR(0.5, 3, 0.7), "StepLR", {"step_size": 3, "gamma": 0.7}),
        (MultiStepLR(0.5, (4, 11), 0.2), "MultiStepLR", {"milestones": [4, 11], "gamma": 0.2}),
        (ExponentialLR(0.5, 0.9), "ExponentialLR", {"gamma": 0.9}),
        (CosineAnnealingLR(0.5, 20, 0.01), "CosineAnnealingLR", {"T_max": 20, "eta_min": 0.01}),
    ],
    ids=repr,
)
def test_rates_are_torchs(schedule, name, options):
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.5)
    theirs = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    for epoch in range(20):
        assert schedule(epoch) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_one_cycle_rises_and_falls(strategy):
    schedule = OneCycleLR(0.4, 10, 0.25, 20, 100, strategy)
    assert schedule(0) == pytest.approx(0.02)
    assert schedule(2.5) == pytest.approx(0.4)
    assert schedule(10) == schedule(12) == pytest.approx(0.0002)
    rates = [schedule(k / 10) for k in range(101)]
    assert rates[:26] == sorted(rates[:26]) and rates[25:] == sorted(rates[25:], reverse=True)
    assert schedule(1.25) == pytest.approx(0.21)


def test_warmup_ends_at_the_schedule():
    schedule = LinearWarmup(CosineAnnealingLR(1.0, 10), 2, 0.1)
    assert schedule(0) == pytest.approx(0.1)
    assert schedule(1) == pytest.approx(0.55 * 0.5 * (1 + math.cos(math.pi / 10)))
    assert schedule(2) == CosineAnnealingLR(1.0, 10)(2)
    assert LinearWarmup(ConstantLR(0.3), 1)(5) == 0.3


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: StepLR(-1, 2), "lr"), (lambda: StepLR(1, 0), "step_size"), (lambda: MultiStepLR(1, (5, 2)), "milestones"),
        (lambda: ExponentialLR(1, float("nan")), "gamma"), (lambda: CosineAnnealingLR(1, 0), "epochs"),
        (lambda: OneCycleLR(1, 5, 1.0), "pct_start"), (lambda: OneCycleLR(1, 5, div_factor=0), "div_factor"),
        (lambda: OneCycleLR(1, 5, anneal_strategy="x"), "anneal_strategy"), (lambda: LinearWarmup(3, 1), "schedule"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(make, word):
    with pytest.raises((ValueError, TypeError), match=word):
        make()
