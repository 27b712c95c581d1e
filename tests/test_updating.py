"""Updating parameters while backward runs: the bits of backward and step, less memory, Ctrl-C between steps."""

import os
import signal

import numpy as np
import pytest
from bits import assert_same_bits
from small_model import small_data, small_model, weights

import cconv
import cconv.callbacks
import cconv.functional as F
from cconv import Model, models, nn, optim

OPTIMIZERS = [
    lambda: optim.SGD(0.05),
    lambda: optim.SGD(0.05, momentum=0.9, weight_decay=1e-3, nesterov=True),
    lambda: optim.AdamW(0.01),
]


def conv_net():
    """Convolutions, norms, a residual block, linear layers larger than a block of the update; 4 MB."""
    body = nn.Sequential(
        nn.Conv2d(16, 32, 3, padding=1, bias=False, rng=1), nn.Conv2d(32, 32, 3, padding=1, groups=2, rng=7),
        nn.Conv2d(32, 16, 1, bias=False, rng=8), nn.BatchNorm2d(16),
    )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, rng=0), nn.ReLU(), nn.Sum(body, nn.Sequential()), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 8, 1, rng=2), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(512, 1500, rng=3), nn.ReLU(),
        nn.Dropout(0.5, rng=4), nn.Linear(1500, 130, rng=5), nn.ReLU(), nn.Linear(130, 10, rng=6),
    )  # fmt: skip


def lenet():
    return models.lenet5(variant="1998", in_channels=1, input_size=32, rng=0)


def small_images():
    """Convolutions of images of 2x2, whose taps are mostly beyond the edge."""
    return nn.Sequential(
        nn.Conv2d(3, 37, 1, rng=0), nn.Conv2d(37, 70, 3, padding=1, bias=False, rng=1), nn.ReLU(),
        nn.Conv2d(70, 19, 3, padding=1, rng=2), nn.Flatten(), nn.Linear(76, 10, rng=3),
    )  # fmt: skip


def batch(shape, n=20):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, *shape), np.float32), rng.integers(0, 10, n)


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(optim.base, "LARGE", 0)


def trained(make, optimizer, x, y, steps=3):
    """All bits of two models' training: without and with updates in backward where `LARGE` says so."""
    model = Model(make(), optimizer=optimizer())
    losses = [model.train_on_batch(x, y)["loss"] for _ in range(steps)]
    return model, [np.array(losses), model.optimizer.data, *model.optimizer.state.values()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (conv_net, (3, 16, 16)),
        (lenet, (1, 32, 32)),
        (lambda: models.lenet5(rng=0), (1, 28, 28)),
        (small_images, (3, 2, 2)),
    ],
    ids=["conv_net", "lenet5-1998", "lenet5", "small_images"],
)
def test_same_bits_as_backward_and_step(make, shape, optimizer, monkeypatch):
    x, y = batch(shape)
    flat, expected = trained(make, optimizer, x, y)
    monkeypatch.setattr(optim.base, "LARGE", 0)
    model, actual = trained(make, optimizer, x, y)
    assert not flat._updates_in_backward and model._updates_in_backward
    assert all(np.array_equal(a, b) for a, b in zip(actual, expected, strict=True))
    assert not model.optimizer.grad.any() and model.optimizer.steps == 3
    assert all(parameter.sink is None for parameter in model.net.parameters())


def test_same_bits_in_float64(monkeypatch):
    x, y = batch((3, 16, 16))
    run = [trained(lambda: conv_net().astype(np.float64), OPTIMIZERS[1], x, y)[1]]
    monkeypatch.setattr(optim.base, "LARGE", 0)
    run.append(trained(lambda: conv_net().astype(np.float64), OPTIMIZERS[1], x, y)[1])
    assert all(np.array_equal(a, b) for a, b in zip(*run, strict=True))


@pytest.mark.parametrize(
    ("rows", "features", "outputs"), [(3, 70000, 10), (97, 1000, 3000), (200, 33, 6000), (5000, 300, 700), (9, 5, 3)]
)
def test_linear_in_blocks(rows, features, outputs):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((rows, n), np.float32) for n in (features, outputs))
    layers = [nn.Linear(features, outputs, rng=0) for _ in range(2)]
    steps = [OPTIMIZERS[1]().bind(layer) for layer in layers]
    dx = layers[0].forward(x, True)[1](dy)
    steps[0].step()
    with steps[1].updating_in_backward():
        other = layers[1].forward(x, True)[1](dy)
    assert np.array_equal(dx, other) and np.array_equal(steps[0].data, steps[1].data)
    assert not steps[1].grad.any()


def test_threads_do_not_change_bits(everything_is_large):
    x, y = batch((3, 16, 16))
    assert_same_bits(lambda: trained(conv_net, OPTIMIZERS[1], x, y)[1])


class Own(nn.Linear):
    """A layer from outside, which might do anything."""


def twice():
    layer = nn.Linear(64, 64, rng=0)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer)


def shared():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64, rng=0), nn.Linear(64, 64, rng=1))
    net[2].weight = net[1].weight
    return net


@pytest.mark.parametrize("make", [twice, shared, lambda: nn.Sequential(nn.Flatten(), Own(64, 10, rng=0))])
def test_networks_that_need_whole_gradients(make, everything_is_large):
    model = Model(make())
    assert not model._updates_in_backward
    model.train_on_batch(*batch((1, 8, 8)))


def test_optimisers_that_need_whole_gradients(everything_is_large):
    class Clipped(optim.SGD):
        def step(self, zero_grad=False):
            self.grad *= min(1, 1 / np.linalg.norm(self.grad))
            super().step(zero_grad)

    class Sign(optim.SGD):
        def _step(self, zero_grad):
            self.data -= self.lr * np.sign(self.grad)
            self.grad[...] = 0

    for make in (Clipped, Sign):
        model = Model(conv_net(), optimizer=make(0.1))
        before = model.optimizer.data.copy()
        assert not model._updates_in_backward
        model.train_on_batch(*batch((3, 16, 16)))
        assert not np.array_equal(before, model.optimizer.data)


def test_grad_is_for_those_who_call_backward(everything_is_large):
    x, y = batch((3, 16, 16))
    model = Model(conv_net())
    model.train_on_batch(x, y)
    assert not any(parameter.grad.any() for parameter in model.net.parameters())
    outputs, backward = model.net.forward(x, True)
    backward(model.loss.forward(outputs, y)[1]())
    assert all(parameter.grad.any() for parameter in model.net.parameters() if parameter.size > 20)


def test_a_pass_that_fails_before_the_first_gradient_is_no_step():
    sgd = optim.SGD(0.1, momentum=0.9).bind(nn.Linear(3, 2, rng=0))
    before = sgd.data.copy()
    with pytest.raises(MemoryError), sgd.updating_in_backward():
        raise MemoryError
    assert sgd.steps == 0 and np.array_equal(sgd.data, before)


def test_parameters_out_of_reach_are_updated_by_their_gradient():
    layers = nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=1)
    sgd = optim.SGD(0.1, weight_decay=0.5).bind(nn.Sequential(*layers))
    before = layers[1].weight.data.copy()
    with sgd.updating_in_backward():
        layers[0].forward(np.ones((1, 3), np.float32), True)[1](np.ones((1, 2), np.float32))
    np.testing.assert_allclose(layers[1].weight.data, before * (1 - 0.05), rtol=1e-6)


@pytest.mark.skipif(os.name == "nt", reason="raises SIGINT")
@pytest.mark.parametrize("large", [False, True])
def test_ctrl_c_within_a_step_resumes_to_the_bit(large, monkeypatch, tmp_path):
    if large:
        monkeypatch.setattr(optim.base, "LARGE", 0)
    (x, y), _ = small_data()
    whole = small_model()
    whole.fit(x, y, epochs=2, verbose=0)
    model = small_model()
    ended, calls, before = [], [], signal.getsignal(signal.SIGINT)

    class Spy(nn.CrossEntropyLoss):
        def forward(self, outputs, target):
            calls.append(len(target))
            if len(calls) == 9:
                signal.raise_signal(signal.SIGINT)
                ended.append("went on")
            return super().forward(outputs, target)

    model.loss = Spy()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=2, verbose=0)
    assert ended == ["went on"] and len(calls) == 9 and signal.getsignal(signal.SIGINT) is before
    model.save(tmp_path / "m")
    again = Model.load(tmp_path / "m")
    again.fit(x, y, epochs=2, resume=True, verbose=0)
    assert weights(again) == weights(whole)


@pytest.mark.skipif(os.name == "nt", reason="raises SIGINT")
def test_a_second_ctrl_c_does_not_wait():
    calls = []

    class Spy(nn.CrossEntropyLoss):
        def forward(self, outputs, target):
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
                calls.append(1)
            return super().forward(outputs, target)

    model = small_model()
    model.loss = Spy()
    with pytest.raises(KeyboardInterrupt):
        model.train_on_batch(*batch((1, 8, 8)))
    assert calls == [1]


def test_memory_stays_as_after_the_first_step():
    """Arena and gradients: a step like the one before takes nothing, and no gradient is written."""
    x, y = batch((3, 16, 16))
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(768, 3000, rng=0), nn.ReLU(), nn.Linear(3000, 10, rng=1)))
    assert model._updates_in_backward
    model.train_on_batch(x, y)
    cconv._runtime.arena_reset_peak()
    first = cconv._runtime.arena_stats()
    for _ in range(5):
        model.train_on_batch(x, y)
    last = cconv._runtime.arena_stats()
    assert last["reserved"] == first["reserved"] and last["in_use"] == first["in_use"]
    assert last["peak"] - last["in_use"] < 4 << 20


@pytest.mark.parametrize("special", [1.0, np.inf, np.nan])
def test_a_sink_takes_the_gradient_of_small_images(special):
    """Where an Inf or NaN meets the padding, it goes through an array."""
    rng = np.random.default_rng(3)
    x, dy = (np.moveaxis(rng.standard_normal((16, 2, 2, c), np.float32), -1, 1) for c in (40, 33))
    dy[3, 5, 0, 1] = special
    layer = nn.Conv2d(40, 33, 3, padding=1, bias=False, rng=0, algo="direct")
    optimizer = optim.SGD(1.0).bind(layer)
    before = layer.weight.data.copy()
    with optimizer.updating_in_backward():
        layer.forward(x, True)[1](dy, need_dx=False)
    expected = before - F.conv2d_backward_weight(x, dy, 3, padding=1, algo="direct")
    assert np.array_equal(layer.weight.data, expected, equal_nan=True)
    assert np.isfinite(expected[:5]).all() and np.isfinite(expected[5, :, 0, 2]).all()


@pytest.mark.parametrize("kind", ["plain", "inf", "nan", "huge", "tiny"])
def test_a_sink_takes_patches_that_winograd_cannot_make(kind):
    """130 inputs are three patches; what spoils the transforms stands in the second one alone."""
    rng = np.random.default_rng(3)
    last = {
        "x": rng.standard_normal((3, 12, 12, 130), np.float32),
        "dy": rng.standard_normal((3, 12, 12, 24), np.float32),
    }
    if kind in ("inf", "nan"):
        last["x"][1, 5, 5, 70] = float(kind)
    elif kind != "plain":
        last["x"][..., 64:128] *= np.float32(3e37 if kind == "huge" else 1e-36)
    x, dy = (np.moveaxis(last[name], -1, 1) for name in ("x", "dy"))
    layer = nn.Conv2d(130, 24, 3, padding=1, bias=False, rng=0, algo="winograd")
    optimizer = optim.SGD(1.0).bind(layer)
    before = layer.weight.data.copy()
    layer.forward(x, True)[1](dy, need_dx=False)
    gradient = layer.weight.grad.copy()
    with np.errstate(all="ignore"):
        expected = before - gradient
    with optimizer.updating_in_backward():
        layer.forward(x, True)[1](dy, need_dx=False)
    assert np.array_equal(layer.weight.data, expected, equal_nan=True)
    exact = F.conv2d_backward_weight(x, dy, 3, padding=1, algo="direct")
    finite = np.isfinite(exact)
    assert np.array_equal(np.isfinite(gradient), finite)
    for part in (slice(0, 64), slice(64, 128), slice(128, 130)):
        want, have = (np.where(finite, a, 0)[:, part].astype(np.float64) for a in (exact, gradient))
        assert np.linalg.norm(have - want) <= 1e-4 * np.linalg.norm(want)
