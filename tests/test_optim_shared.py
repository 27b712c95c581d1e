"""What every optimiser takes: clipping, accumulation, what does not decay, the average of the weights."""

import copy

import numpy as np
import pytest
from small_model import small_data, small_net, weights
from test_optim import G, bound

import cconv
import cconv.callbacks
from cconv import Model, nn, optim
from cconv.population import recalibrate


def test_clip_norm_is_that_of_all_gradients():
    norm = np.linalg.norm(G)
    for limit in (norm / 3, 2 * norm):
        sgd = bound(optim.SGD(1.0, clip_norm=limit))
        before = sgd.data.copy()
        sgd.step()
        np.testing.assert_allclose(before - sgd.data, G * min(1, limit / norm), atol=1e-15)


def test_clip_norm_is_torchs():
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    sgd = bound(optim.SGD(1.0, clip_norm=0.5))
    before, parameter = sgd.data.copy(), torch.nn.Parameter(torch.zeros(20))
    parameter.grad = torch.tensor(G, dtype=torch.float32)
    torch.nn.utils.clip_grad_norm_([parameter], 0.5)
    sgd.step()
    np.testing.assert_allclose(before - sgd.data, parameter.grad.numpy(), atol=1e-6)


def test_clip_value():
    sgd = bound(optim.SGD(1.0, clip_value=0.25))
    before = sgd.data.copy()
    sgd.step(zero_grad=True)
    np.testing.assert_allclose(before - sgd.data, np.clip(G, -0.25, 0.25), atol=1e-15)
    assert not sgd.grad.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_changes_nothing(bad):
    adam = bound(optim.Adam(clip_norm=1.0))
    adam.grad[3] = bad
    before = adam.data.copy()
    with pytest.raises(FloatingPointError, match="norm"):
        adam.step()
    assert adam.steps == 0 and not adam.state["exp_avg"].any()
    np.testing.assert_array_equal(adam.data, before)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop", "LARS"])
def test_accumulated_batches_are_one(kind):
    """Four batches of 8 are one of 32, up to rounding; without normalisation over batches."""
    (x, y), _ = small_data(96)
    one, four = (
        Model(small_net(), optimizer=getattr(optim, kind)(0.01, accumulate=count, clip_norm=0.5)) for count in (1, 4)
    )
    one.fit(x, y, batch_size=32, epochs=2, verbose=0)
    four.fit(x, y, batch_size=8, epochs=2, verbose=0)
    assert one.optimizer.steps == four.optimizer.steps == 6 and four.optimizer.waiting == 0
    np.testing.assert_allclose(four.optimizer.data, one.optimizer.data, rtol=1e-3, atol=2e-5)


def test_groups_go_on_in_the_next_epoch():
    (x, y), _ = small_data(80)
    model = Model(small_net(), optimizer=optim.SGD(0.1, accumulate=3))
    model.fit(x, y, batch_size=20, epochs=1, verbose=0)
    assert (model.optimizer.steps, model.optimizer.waiting) == (1, 1) and model.optimizer.grad.any()
    model.fit(x, y, batch_size=20, epochs=2, initial_epoch=1, verbose=0)
    assert (model.optimizer.steps, model.optimizer.waiting) == (2, 2)
    model.optimizer.zero_grad()
    assert model.optimizer.waiting == 0


def net_with_norms():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, rng=0), nn.BatchNorm2d(3), nn.PReLU(), nn.Flatten(), nn.Linear(3 * 36, 4, rng=0),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "LARS"])
@pytest.mark.parametrize(
    ("no_decay", "kept"),
    [
        ((), []),
        ("bias", ["0.bias", "1.bias", "4.bias"]),
        (("norm",), ["1.weight", "1.bias"]),
        (("bias", "norm"), ["0.bias", "1.weight", "1.bias", "4.bias"]),
    ],
)
def test_no_decay(kind, no_decay, kept):
    """Without gradients decay alone moves parameters."""
    net = net_with_norms()
    for parameter in net.parameters():
        parameter.data[...] = 1
    optimizer = getattr(optim, kind)(0.1, weight_decay=0.1, no_decay=no_decay).bind(net)
    optimizer.step()
    assert [name for name, parameter in net.named_parameters() if (parameter.data == 1).all()] == kept
    assert optimizer.weight_decay == 0.1


@pytest.mark.parametrize("make", [optim.SGD, optim.AdamW, optim.RMSprop])
def test_no_decay_and_average_while_backward_runs(make, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((10, 1, 8, 8), np.float32), rng.integers(0, 4, 10)
    results = []
    for large in (1 << 60, 0):
        monkeypatch.setattr(optim.base, "LARGE", large)
        optimizer = make(0.01, weight_decay=0.1, no_decay=("bias", "norm"), ema=0.9)
        model = Model(net_with_norms(), optimizer=optimizer)
        assert model._updates_in_backward == (large == 0)
        for _ in range(3):
            model.train_on_batch(x, y)
        results.append([model.optimizer.data.tobytes(), model.optimizer.state["average"].tobytes()])
    assert results[0] == results[1]


def test_average():
    sgd = bound(optim.SGD(0.1, ema=0.75))
    expected = sgd.data.copy()
    for _ in range(3):
        sgd.step()
        expected = 0.75 * expected + 0.25 * sgd.data
    np.testing.assert_allclose(sgd.state["average"], expected, atol=1e-15)
    own = sgd.data.copy()
    with pytest.raises(KeyError), sgd.averaged():
        np.testing.assert_array_equal(sgd.data, sgd.state["average"])
        raise KeyError
    np.testing.assert_array_equal(sgd.data, own)
    plain = bound(optim.SGD(0.1))
    with plain.averaged():
        assert "average" not in plain.state


def test_what_validates_evaluates_and_predicts_is_the_average(tmp_path):
    (x, y), test = small_data()
    model, plain = Model(small_net(), optimizer=optim.SGD(0.1, ema=0.9)), Model(small_net(), optimizer=optim.SGD(0.1))
    history = model.fit(x, y, epochs=2, validation_data=test, verbose=0).history
    plain.fit(x, y, epochs=2, verbose=0)
    assert weights(model) == weights(plain)
    assert model.evaluate(*test)["loss"] == history["val_loss"][-1] != plain.evaluate(*test)["loss"]
    outputs = model.predict(x)
    with model.optimizer.averaged():
        assert model.net(x).tobytes() == outputs.tobytes()
    model.save(tmp_path / "m")
    for again in (Model.load(tmp_path / "m"), copy.deepcopy(model)):
        assert again.predict(x).tobytes() == outputs.tobytes()
        again.fit(x, y, verbose=0)
        assert again.predict(x).tobytes() != outputs.tobytes() == model.predict(x).tobytes()


def test_running_statistics_are_averaged_with_the_weights():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((10, 1, 8, 8), np.float32), rng.integers(0, 4, 10)
    model = Model(net_with_norms(), optimizer=optim.SGD(0.1, ema=0.75))
    expected = model.net.state_dict()
    for _ in range(3):
        model.train_on_batch(x, y)
        now = model.net.state_dict()
        expected = {key: 0.75 * expected[key] + 0.25 * now[key] for key in now}
    found = model.inference_net.state_dict()
    assert any(key.endswith("running_var") for key in found)
    with model.optimizer.averaged():
        lent = model.net.state_dict()
    for key in expected:
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, atol=1e-7)
            assert lent[key].tobytes() == found[key].tobytes()
            assert model.net.state_dict()[key].tobytes() == now[key].tobytes()
    recalibrate(model, x)
    assert {k: v.tobytes() for k, v in model.net.state_dict().items()} == {k: v.tobytes() for k, v in now.items()}
    assert any(model.inference_net.state_dict()[key].tobytes() != found[key].tobytes() for key in found)


def test_the_best_epoch_of_an_average_comes_back():
    (x, y), test = small_data()
    model = Model(small_net(), optimizer=optim.SGD(0.1, ema=0.5))
    stop = cconv.callbacks.EarlyStopping(mode="max", restore_best_weights=True)
    best = model.fit(x, y, epochs=5, validation_data=test, callbacks=[stop], verbose=0).history["val_loss"][0]
    assert stop.stopped_epoch == 1 and model.evaluate(*test)["loss"] == best


@pytest.mark.parametrize("stop", [1, 3, 5, 7, 9, 13])
@pytest.mark.parametrize("make", [
    lambda: optim.RMSprop(0.01, momentum=0.5, centered=True, accumulate=3, ema=0.9, no_decay="bias", weight_decay=0.01),
    lambda: optim.LARS(1.0, clip_norm=0.5, accumulate=2),
    lambda: optim.Adagrad(0.05, clip_value=0.01, accumulate=4),
    lambda: optim.Adadelta(ema=0.5),
])  # fmt: skip
def test_a_run_that_continues_is_the_unbroken_run_to_the_bit(tmp_path, stop, make):
    (x, y), test = small_data()

    class Stop(cconv.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == stop:
                self.model.save(tmp_path / "m")
                raise KeyboardInterrupt

    options = {"epochs": 2, "batch_size": 32, "validation_data": test, "rng": 7, "verbose": 0}
    straight, broken = Model(small_net(), optimizer=make()), Model(small_net(), optimizer=make())
    expected = straight.fit(x, y, **options).history
    with pytest.raises(KeyboardInterrupt):
        broken.fit(x, y, **options, callbacks=[Stop()])
    model = Model.load(tmp_path / "m")
    assert repr(model.optimizer) == repr(make())
    rest = model.fit(x, y, **options, resume=True).history
    assert weights(model) == weights(straight)
    assert model.optimizer.waiting == straight.optimizer.waiting
    for name, array in straight.optimizer.state.items():
        assert array.tobytes() == model.optimizer.state[name].tobytes()
    assert rest["val_loss"] == expected["val_loss"][-len(rest["val_loss"]) :]


def test_errors():
    for options in (
        {"clip_norm": 0}, {"clip_norm": -1}, {"clip_value": float("nan")}, {"clip_norm": 1, "clip_value": 1},
        {"accumulate": 0}, {"ema": 1}, {"ema": -0.1}, {"no_decay": ("biases",)},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(options))):
            optim.SGD(0.1, **options)
    with pytest.raises(TypeError):
        optim.SGD(0.1, clipping=1)
    sgd, twice = bound(optim.SGD(0.1)), bound(optim.SGD(0.1, accumulate=2))
    twice.step()
    state = twice.state_dict()
    with pytest.raises(ValueError, match="accumulate is 1"):
        sgd.load_state_dict(state)
    with pytest.raises(ValueError, match="accumulated must have shape"):
        twice.load_state_dict({**state, "accumulated": np.zeros(3)})
    with pytest.raises(ValueError, match="waiting"):
        twice.load_state_dict({key: value for key, value in state.items() if key != "waiting"})
