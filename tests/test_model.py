"""fit, evaluate, predict: Keras's semantics, same bits for the same seed, errors before anything runs."""

import copy
import json
import os
import signal

import numpy as np
import pytest
import small_model
from small_model import small_data, weights

import cconv.callbacks
from cconv import Model, _runtime, nn, optim


@pytest.fixture
def data():
    return small_data()


def test_fit_learns_and_reports(data):
    (x, y), test = data
    model = small_model.small_model()
    result = model.fit(x, y, epochs=15, validation_data=test, verbose=0)
    assert set(result.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 15 for values in result.history.values()) and result.epoch == list(range(15))
    assert result.history["loss"][-1] < result.history["loss"][0] / 3
    assert result.history["accuracy"][-1] > 0.95
    final = model.evaluate(*test)
    assert final == {"loss": result.history["val_loss"][-1], "accuracy": result.history["val_accuracy"][-1]}
    assert model.history is result and model.epoch == 15 and isinstance(result, cconv.History)


def test_evaluate_is_the_mean_over_samples(data):
    (x, y), _ = data
    model = small_model.small_model()
    whole = model.evaluate(x, y, batch_size=1000)
    for batch_size in (1, 7, 64):
        parts = model.evaluate(x, y, batch_size=batch_size)
        assert parts["accuracy"] == whole["accuracy"] and abs(parts["loss"] - whole["loss"]) < 1e-6
    logits = model.predict(x).astype(np.float64)
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y])
    assert abs(whole["loss"] - expected) < 1e-6
    assert whole["accuracy"] == np.mean(logits.argmax(axis=1) == y)


def test_predict_gives_logits_in_order(data):
    (x, _), _ = data
    model = small_model.small_model()
    outputs = model.predict(x, batch_size=33)
    assert outputs.shape == (200, 10) and outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, model.net(x), rtol=1e-5, atol=1e-6)


def test_train_on_batch_is_one_step_of_fit(data):
    (x, y), _ = data
    by_fit, by_hand = small_model.small_model(), small_model.small_model()
    history = by_fit.fit(x[:32], y[:32], shuffle=False, verbose=0).history
    result = by_hand.train_on_batch(x[:32], y[:32])
    assert weights(by_fit) == weights(by_hand)
    assert result == {"loss": history["loss"][0], "accuracy": history["accuracy"][0]}
    assert by_fit.test_on_batch(x, y) == by_fit.evaluate(x, y, batch_size=len(x))


def test_same_seed_same_bits(data):
    (x, y), _ = data
    runs = []
    for rng in (3, 3, 4, np.random.default_rng(0), np.random.default_rng(0)):
        model = small_model.small_model()
        model.fit(x, y, epochs=2, rng=rng, verbose=0)
        runs.append(weights(model))
    assert runs[0] == runs[1] and runs[3] == runs[4]
    assert runs[0] != runs[2] and runs[0] != runs[3]


def test_thread_count_does_not_change_the_bits(data):
    (x, y), test = data
    before, runs = cconv.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            cconv.set_num_threads(threads)
            model = small_model.small_model()
            history = model.fit(x, y, epochs=2, validation_data=test, verbose=0).history
            runs.append((weights(model), history))
    finally:
        cconv.set_num_threads(before)
    assert all(run == runs[0] for run in runs)


def test_inputs_of_other_types_are_converted_by_batch(data):
    (raw, y), _ = cconv.data.digits(8, raw=True)
    expected = small_model.small_model()
    expected.fit(raw.astype(np.float32) / np.float32(255), y, verbose=0)
    for x in (raw, (raw.astype(np.float32) / np.float32(255)).astype(np.float64)):
        model = small_model.small_model()
        model.fit(x, y.astype(np.uint8), verbose=0)
        assert weights(model) == weights(expected)


def test_strided_swapped_and_read_only_inputs(data):
    (x, y), _ = data
    expected = small_model.small_model()
    expected.fit(x, y, verbose=0)
    wide = np.zeros((200, 1, 8, 16), np.float32)
    wide[..., ::2] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    for other in (wide[..., ::2], x.astype(">f4"), np.asfortranarray(x), frozen, x.tolist()):
        model = small_model.small_model()
        model.fit(np.asarray(other, None if not isinstance(other, list) else np.float32), y.astype(">i2"), verbose=0)
        assert weights(model) == weights(expected)


def test_float64_networks(data):
    (x, y), test = data
    model = Model(small_model.small_net().astype(np.float64), optimizer=optim.SGD(0.1, momentum=0.9))
    history = model.fit(x, y, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and model.predict(test[0]).dtype == np.float64


BAD = {
    "lengths": (lambda x, y: (x, y[:-1]), ValueError, r"same length.*\(200, 1, 8, 8\).*\(199,\)"),
    "label too large": (lambda x, y: (x, np.where(y == 3, 10, y)), ValueError, "y holds class 10.*0 to 9"),
    "label negative": (lambda x, y: (x, y - 1), ValueError, "y holds class -1"),
    "label huge": (lambda x, y: (x, np.where(y == 3, 2**62, y)), ValueError, "y holds class"),
    "label unsigned huge": (
        lambda x, y: (x, np.where(y == 3, 2**63, y).astype(np.uint64)),
        ValueError,
        "y holds class",
    ),
    "labels of floats": (lambda x, y: (x, y.astype(float)), TypeError, "y must be class numbers.*float64"),
    "one-hot labels": (lambda x, y: (x, np.eye(10, dtype=int)[y]), TypeError, r"y must be class numbers.*\(200, 10\)"),
    "one label": (lambda x, y: (x, 3), ValueError, "same length"),
    "integers": (lambda x, y: (x.astype(int), y), TypeError, "x must be floats, or uint8.*int64"),
    "objects": (lambda x, y: (x.astype(object), y), TypeError, "x must be floats"),
    "complex": (lambda x, y: (x.astype(complex), y), TypeError, "x must be floats"),
    "one axis": (lambda x, y: (x[:, 0, 0, 0], y), ValueError, "x must have samples"),
    "none": (lambda x, y: (x[:0], y[:0]), ValueError, "x has no samples"),
    "wrong image size": (lambda x, y: (np.zeros((200, 1, 9, 9), np.float32), y), ValueError, "81|9, 9"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_refused_before_anything_runs(data, name):
    change, error, message = BAD[name]
    (x, y), _ = data
    model = small_model.small_model()
    before = weights(model)
    bad = change(x, y)
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(error, match=message):
            call(*bad)
    with pytest.raises(error, match="validation " + message if message[:2] in ("x ", "y ") else message):
        model.fit(x, y, validation_data=bad, verbose=0)
    assert weights(model) == before and model.epoch == 0


def test_bad_arguments(data):
    (x, y), _ = data
    model = small_model.small_model()
    for options in ({"batch_size": 0}, {"batch_size": -3}, {"epochs": -1}, {"verbose": 3}, {"rng": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            model.fit(x, y, **options)
    for options in ({"batch_size": 2.5}, {"epochs": "3"}, {"rng": "a"}, {"callbacks": [print]}):
        with pytest.raises(TypeError, match=next(iter(options))):
            model.fit(x, y, **{"verbose": 0, **options})
    with pytest.raises(TypeError, match="net"):
        Model("lenet5")
    with pytest.raises(ValueError, match="loss"):
        Model(small_model.small_net(), loss="no such loss")
    with pytest.raises(TypeError, match="loss"):
        Model(small_model.small_net(), loss=3)
    with pytest.raises(ValueError, match="metrics"):
        Model(small_model.small_net(), metrics=["f1"])
    with pytest.raises(ValueError, match="input_shape"):
        small_model.small_model().summary()


def test_a_loss_that_is_not_finite_stops_training(data):
    (x, y), _ = data
    x = x.copy()
    x[70] = np.nan
    model = small_model.small_model()
    kept = []

    class Keep(cconv.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kept.append(weights(self.model))

    with pytest.raises(FloatingPointError, match="nan at epoch 1, step 3"):
        model.fit(x, y, shuffle=False, callbacks=[Keep()], verbose=0)
    assert len(kept) == 2 and weights(model) == kept[-1]


def test_denormals_are_flushed_inside_the_step_alone(data):
    (x, y), _ = data
    seen, before = [], _runtime.fp_mode()

    class Spy(nn.CrossEntropyLoss):
        def forward(self, outputs, target):
            seen.append(_runtime.fp_mode())
            return super().forward(outputs, target)

    class Outside(cconv.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert _runtime.fp_mode() == before

    model = Model(small_model.small_net(), loss=Spy())
    model.fit(x, y, verbose=0, callbacks=[Outside()])
    assert set(seen) == {_runtime.flushing(before)} and _runtime.fp_mode() == before
    x = x.copy()
    x[0] = np.inf
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        model.fit(x, y, verbose=0)
    assert _runtime.fp_mode() == before


@pytest.mark.skipif(os.name == "nt", reason="raises SIGINT")
def test_ctrl_c_ends_cleanly(data, tmp_path):
    (x, y), _ = data

    class Interrupt(cconv.callbacks.Callback):
        ended = 0

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                signal.raise_signal(signal.SIGINT)

        def on_train_end(self, logs=None):
            self.ended += 1

    model, interrupt = small_model.small_model(), Interrupt()
    save = cconv.callbacks.ModelCheckpoint(tmp_path / "m")
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=5, callbacks=[save, interrupt], verbose=0)
    assert interrupt.ended == 1 and len(model.history.history["loss"]) == 2
    assert weights(Model.load(tmp_path / "m")) == weights(model)


# --- callbacks


def test_order_of_calls(data):
    (x, y), _ = data
    calls = []

    class Recorder(cconv.callbacks.Callback):
        def __getattribute__(self, name):
            if name.startswith("on_"):
                return lambda *arguments: calls.append((name, *arguments[:-1]))
            return object.__getattribute__(self, name)

        def on_train_batch_begin(self, batch, logs=None):
            pass

        def on_train_batch_end(self, batch, logs=None):
            pass

    small_model.small_model().fit(x[:40], y[:40], epochs=2, callbacks=[Recorder()], verbose=0)
    batch = [(f"on_train_batch_{edge}", n) for n in (0, 1) for edge in ("begin", "end")]
    epochs = [[("on_epoch_begin", n), *batch, ("on_epoch_end", n)] for n in (0, 1)]
    assert calls == [("on_train_begin",), *epochs[0], *epochs[1], ("on_train_end",)]


def test_loggers_and_checkpoints(data, tmp_path):
    (x, y), test = data
    callbacks = cconv.callbacks
    hooks = [
        callbacks.JSONLogger(tmp_path / "log.jsonl"),
        callbacks.CSVLogger(tmp_path / "log.csv"),
        callbacks.ModelCheckpoint(tmp_path / "{epoch:02d}-{val_accuracy:.2f}"),
        callbacks.ModelCheckpoint(tmp_path / "best", monitor="val_accuracy", save_best_only=True),
        callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.5 if epoch else lr),
    ]
    model = small_model.small_model(lr=0.08)
    for _ in range(2):
        history = model.fit(x, y, epochs=3, validation_data=test, callbacks=hooks, verbose=0).history
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["val_loss"] for line in lines] == history["val_loss"]
    assert list(lines[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    table = (tmp_path / "log.csv").read_text().splitlines()
    assert len(table) == 4 and table[0] == ",".join(lines[0])
    assert (tmp_path / f"03-{history['val_accuracy'][-1]:.2f}").exists()
    best = Model.load(tmp_path / "best")
    assert best.evaluate(*test)["accuracy"] >= max(history["val_accuracy"])
    assert model.optimizer.lr == pytest.approx(0.08 / 16)
    with pytest.raises(ValueError, match="val_loss"):
        model.fit(x, y, callbacks=[callbacks.ModelCheckpoint(tmp_path / "x", save_best_only=True)], verbose=0)
    with pytest.raises(ValueError, match="mode"):
        callbacks.ModelCheckpoint("x", mode="best")


def test_a_rate_for_every_batch(data):
    (x, y), _ = data
    rates = []

    class Rates(cconv.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(self.model.optimizer.lr)

    schedule = cconv.callbacks.LearningRateScheduler(lambda epoch, lr: 0.1 / (1 + epoch), by_batch=True)
    small_model.small_model().fit(x, y, 50, epochs=2, callbacks=[schedule, Rates()], verbose=0)
    np.testing.assert_allclose(rates, 0.1 / (1 + np.arange(8) / 4))


def test_stop_training_and_initial_epoch(data):
    (x, y), _ = data

    class Stop(cconv.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 3

    model = small_model.small_model()
    assert model.fit(x, y, epochs=9, initial_epoch=2, callbacks=[Stop()], verbose=0).epoch == [2, 3]
    assert model.fit(x, y, epochs=0, verbose=0).history == {}


def test_own_loss_and_metrics(data):
    (x, y), _ = data

    class Square:
        def forward(self, outputs, target):
            difference = outputs - target
            return np.mean(difference**2), lambda: 2 * difference / difference.size

    def largest_error(outputs, target):
        return float(np.abs(outputs - target).max())

    target = np.eye(10, dtype=np.float32)[y]
    model = Model(small_model.small_net(), loss=Square(), optimizer=optim.SGD(0.5), metrics=[largest_error])
    history = model.fit(x, target, epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and set(history) == {"loss", "largest_error"}


@pytest.mark.parametrize("name", ["hinge", "focal", "multi_margin", "cross_entropy"])
def test_losses_by_name(name, data):
    (x, y), _ = data
    model = Model(small_model.small_net(), loss=name)
    first = model.train_on_batch(x[:64], y[:64])["loss"]
    for _ in range(5):
        last = model.train_on_batch(x[:64], y[:64])["loss"]
    assert last < first
    with pytest.raises(ValueError, match="class 10"):
        model.fit(x[:4], np.array([0, 1, 10, 2]), verbose=0)


def test_probabilities_as_targets(data):
    (x, y), _ = data
    shares = (np.eye(10, dtype=np.float32)[y] + 0.01) / 1.1
    model = Model(small_model.small_net())
    history = model.fit(x[:128], shares[:128], epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and history["accuracy"][-1] > 0.1


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy])
def test_copies_train(duplicate):
    (x, y), _ = small_data()
    model, straight = small_model.small_model(), small_model.small_model()
    straight.fit(x, y, epochs=2, verbose=0)
    model.fit(x, y, epochs=1, verbose=0)
    before = weights(model)
    again = duplicate(model)
    again.fit(x, y, epochs=2, verbose=0, resume=True)
    assert weights(again) == weights(straight)
    if again.net is not model.net:
        assert weights(model) == before
