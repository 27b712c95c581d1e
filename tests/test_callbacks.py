"""Callbacks: what they watch, in which order they run, and that a resumed training keeps their state."""

import csv
import json
import sys
import types

import numpy as np
import pytest
from small_model import small_model

from cconv.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from cconv.callbacks.base import CallbackList
from cconv.model import Model
from cconv.optim.schedules import ExponentialLR


class Stage:
    """Stands for a Model: plays given values of val_loss to callbacks."""

    def __init__(self):
        self.stop_training = False
        self.optimizer = types.SimpleNamespace(lr=1.0)
        self.net = types.SimpleNamespace(
            state_dict=lambda: {"w": self.weights}, load_state_dict=lambda state: self.restored.append(state["w"])
        )
        self.inference_net = self.net
        self.restored, self.weights = [], None

    def play(self, callback, values, name="val_loss"):
        hooks = CallbackList(self, [callback])
        rates = []
        for epoch, value in enumerate(values):
            self.weights = value
            hooks.call("on_epoch_end", epoch, {name: value})
            rates.append(self.optimizer.lr)
            if self.stop_training:
                break
        hooks.call("on_train_end", None)
        return rates


@pytest.mark.parametrize(
    "values, options, stopped",
    [
        ([3, 2, 1, 1.5, 1.2, 0.5], {"patience": 2}, 4),
        ([3, 2, 1, 1.5, 0.9, 0.95, 0.9], {"patience": 2}, 6),
        ([3, 4], {}, 1),
        ([3, 2.95, 2.9], {"min_delta": 0.2, "patience": 2}, 2),
        ([3, 4, 5, 6], {"start_from_epoch": 2}, 3),
        ([0.5, 0.6, 0.7, 0.65], {"monitor": "val_accuracy"}, 3),
        ([3, 2, 1], {}, None),
        ([1, float("nan"), float("nan")], {"patience": 2}, 2),
    ],
)
def test_early_stopping(values, options, stopped):
    stage, callback = Stage(), EarlyStopping(**options)
    stage.play(callback, values, callback.monitor)
    assert callback.stopped_epoch == stopped and stage.stop_training == (stopped is not None)
    assert not stage.restored


def test_best_weights_come_back():
    stage, callback = Stage(), EarlyStopping(patience=2, restore_best_weights=True)
    stage.play(callback, [3, 1, 2, 2.5])
    assert stage.restored == [1] and callback.best_epoch == 1


def test_plateau_reduces_rests_and_stops_at_the_minimum():
    stage = Stage()
    rates = stage.play(
        ReduceLROnPlateau(factor=0.5, patience=2, cooldown=1, min_lr=0.2), [5, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    )
    assert rates == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: EarlyStopping(mode="up"), "mode"), (lambda: EarlyStopping(patience=-1), "patience"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta"), (lambda: ReduceLROnPlateau(factor=1), "factor"),
        (lambda: ModelCheckpoint("m", every_seconds=-1), "every_seconds"),
        (lambda: Stage().play(EarlyStopping(), [1], "loss"), "val_loss"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def small_data(count=60):
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, count)


def test_checkpoints_come_after_what_they_record(tmp_path):
    """A checkpoint that stands first in the list still holds what the others did in its epoch."""
    model, (x, y) = small_model(), small_data()
    plateau = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e6)
    model.fit(x, y, 20, 3, callbacks=[ModelCheckpoint(tmp_path / "{epoch}"), plateau], verbose=0)
    again = Model.load(tmp_path / "2")
    fresh = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e6)
    history = again.fit(x, y, 20, 3, callbacks=[fresh], verbose=0, resume=True)
    assert again.optimizer.lr == model.optimizer.lr and (fresh.best, fresh.wait) == (plateau.best, plateau.wait)
    assert history.epoch == [2] and history.history["loss"] == model.history.history["loss"][2:]
    for key, value in model.net.state_dict().items():
        np.testing.assert_array_equal(again.net.state_dict()[key], value)


def test_checkpoint_within_an_epoch_continues_there(tmp_path):
    (x, y), kept = small_data(), []

    class Keep(Callback):
        def on_train_batch_end(self, batch, logs=None):
            kept.append((tmp_path / "m").read_bytes())

    model = small_model()
    model.fit(x, y, 20, 2, callbacks=[ModelCheckpoint(tmp_path / "m", every_seconds=0), Keep()], verbose=0)
    for content in kept:
        (tmp_path / "other").write_bytes(content)
        again = Model.load(tmp_path / "other")
        again.fit(x, y, 20, 2, verbose=0, resume=True)
        for key, value in model.net.state_dict().items():
            np.testing.assert_array_equal(again.net.state_dict()[key], value)


def test_terminate_on_nan_returns_what_there_is():
    x, y = small_data()
    model = small_model()

    class Spoil(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                next(self.model.net.parameters()).data[...] = np.nan

    history = model.fit(x, y, 20, 5, callbacks=[Spoil(), TerminateOnNaN()], verbose=0)
    assert history.epoch == [0] and model.stop_training


def test_csv_and_rate(tmp_path):
    model, (x, y) = small_model(), small_data()
    rates = []

    class Note(Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(self.model.optimizer.lr)

    schedule = LearningRateScheduler(lambda epoch, lr: 0.1 / (1 + epoch), by_batch=True)
    model.fit(
        x, y, 20, 2, validation_data=(x, y), callbacks=[CSVLogger(tmp_path / "log.csv"), schedule, Note()], verbose=0
    )
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["val_loss"]) > 0
    np.testing.assert_allclose(rates, 0.1 / (1 + np.arange(6) / 3))


@pytest.mark.parametrize("logger", [CSVLogger, JSONLogger])
def test_a_log_that_continues_has_each_epoch_once(tmp_path, logger):
    """What a kill leaves: a line of an epoch that comes again, and half a line."""
    x, y = small_data()
    path = tmp_path / "log"
    small_model().fit(x, y, 20, 3, callbacks=[logger(path)], verbose=0)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines)[:-9])
    small_model().fit(x, y, 20, 3, initial_epoch=1, callbacks=[logger(path, append=True)], verbose=0)
    again = path.read_text().splitlines(keepends=True)
    assert again[:-2] == lines[:-2] and len(again) == len(lines)
    read = csv.DictReader(again) if logger is CSVLogger else map(json.loads, again)
    assert [int(record["epoch"]) for record in read] == [1, 2, 3]
    path.write_text("a\nb\n")
    with pytest.raises(ValueError, match="log: not what"):
        small_model().fit(x, y, 20, 3, callbacks=[logger(path, append=True)], verbose=0)
    assert path.read_text() == "a\nb\n"
    path.unlink()
    small_model().fit(x, y, 20, 1, callbacks=[logger(path, append=True)], verbose=0)
    assert len(path.read_text().splitlines()) == len(lines) - 2


def test_schedules_of_one_argument_and_two():
    x, y = small_data()
    rates = []
    for schedule in (lambda epoch: 0.1 / (epoch + 1), lambda epoch, lr: 0.1 / (epoch + 1), ExponentialLR(0.1, 0.5)):
        model = small_model()
        model.fit(x, y, 20, 2, callbacks=LearningRateScheduler(schedule), verbose=0)
        rates.append(model.optimizer.lr)
    assert rates == [0.05, 0.05, 0.05]
    with pytest.raises(TypeError, match="schedule must be callable, got 0.1"):
        LearningRateScheduler(0.1)


def test_a_field_that_is_not_there(tmp_path):
    x, y = small_data()
    with pytest.raises(ValueError, match="no field 'val_los'; there are epoch, loss, accuracy"):
        small_model().fit(x, y, callbacks=ModelCheckpoint(str(tmp_path / "{val_los}")), verbose=0)


def test_a_callback_watches_each_training_afresh():
    x, y = small_data()
    stop = EarlyStopping("loss", min_delta=1e6, patience=1)
    lengths = [len(small_model().fit(x, y, epochs=5, callbacks=stop, verbose=0).epoch) for _ in range(2)]
    assert lengths == [2, 2]


def test_tensorboard_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"cconv\[tensorboard\]"):
        TensorBoard()


def test_tensorboard_writes_each_epoch(monkeypatch, tmp_path):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            self.part = folder.rsplit("/", 1)[1]

        def add_scalar(self, *what):
            written.append((self.part, *what))

        def close(self):
            written.append((self.part, "closed"))

    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    model, (x, y) = small_model(), small_data()
    history = model.fit(x, y, 20, 2, validation_data=(x, y), callbacks=[TensorBoard(tmp_path)], verbose=0)
    assert ("train", "epoch_loss", history.history["loss"][1], 2) in written
    assert ("validation", "epoch_accuracy", history.history["val_accuracy"][0], 1) in written
    assert written[-1][1] == "closed"
