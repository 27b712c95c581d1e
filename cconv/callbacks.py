"""What happens around training: hooks with Keras's names, and the ones most runs need."""

import csv
import json
import time
from pathlib import Path


class Callback:
    """Base of callbacks; override what you need. `self.model` is the Model that trains.

    `logs` is a dict of floats: loss and metrics, on_epoch_end also val_loss and so on.
    """

    model = None

    def set_model(self, model):
        self.model = model

    def on_train_begin(self, logs=None):
        """Before the first epoch; logs hold epochs, first_epoch, samples and batch_size."""

    def on_train_end(self, logs=None):
        """After the last epoch, and also when training ends by an error or Ctrl-C."""

    def on_epoch_begin(self, epoch, logs=None):
        """`epoch` counts from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """After the epoch's validation."""

    def on_train_batch_begin(self, batch, logs=None):
        """`batch` counts from 0 in each epoch."""

    def on_train_batch_end(self, batch, logs=None):
        """logs: means over the epoch so far."""


class CallbackList:
    """Calls the callbacks; per batch only those that listen to batches."""

    def __init__(self, model, callbacks):
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be Callback objects, got {type(callback).__name__}")
            callback.set_model(model)
        self.callbacks = callbacks
        self.beginners = [c for c in callbacks if type(c).on_train_batch_begin is not Callback.on_train_batch_begin]
        self.enders = [c for c in callbacks if type(c).on_train_batch_end is not Callback.on_train_batch_end]

    def call(self, hook, *arguments):
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def batch_begin(self, step):
        for callback in self.beginners:
            callback.on_train_batch_begin(step, None)

    def batch_end(self, step, totals, seen):
        if self.enders:
            logs = {name: total / seen for name, total in totals.items()}
            for callback in self.enders:
                callback.on_train_batch_end(step, logs)


class ModelCheckpoint(Callback):
    """Saves the model after epochs.

    Parameters
    ----------
    filepath : path-like
        May contain fields: "{epoch:03d}-{val_accuracy:.3f}.safetensors" (epoch counts from 1 here).
    monitor : str
        The entry of logs that decides what is best.
    save_best_only : bool
        Save only when `monitor` improved.
    mode : "auto", "min" or "max"
        auto: the smaller is better, unless the name contains "acc".
    """

    def __init__(self, filepath, monitor="val_loss", save_best_only=False, mode="auto"):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.filepath = str(filepath)
        self.monitor = monitor
        self.save_best_only = save_best_only
        self.sign = -1 if mode == "max" or (mode == "auto" and "acc" in monitor) else 1
        self.best = None

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.save_best_only:
            if self.monitor not in logs:
                raise ValueError(f"ModelCheckpoint: no {self.monitor!r} in logs; there are {', '.join(logs)}")
            value = self.sign * logs[self.monitor]
            if self.best is not None and not value < self.best:
                return
            self.best = value
        self.model.save(self.filepath.format(epoch=epoch + 1, **logs))


class _Logger(Callback):
    """One record an epoch in a file, complete after every epoch."""

    def __init__(self, filename, append=False):
        self.filename = Path(filename)
        self.append = append
        self._began = None

    def on_train_begin(self, logs=None):
        if not self.append:
            self.filename.write_text("")

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(time.perf_counter() - self._began, 3)
        with self.filename.open("a", newline="") as file:
            self._write(file, {"epoch": epoch + 1, **(logs or {}), "seconds": seconds})


class JSONLogger(_Logger):
    """A line of JSON an epoch: epoch (from 1), the logs, seconds.

    Parameters
    ----------
    filename : path-like
    append : bool
        Keep what the file holds, for a run that continues.
    """

    def _write(self, file, record):
        file.write(json.dumps(record) + "\n")


class CSVLogger(_Logger):
    """A line of comma-separated values an epoch under a line of names; parameters as JSONLogger."""

    def _write(self, file, record):
        writer = csv.DictWriter(file, list(record))
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(record)


class LearningRateScheduler(Callback):
    """Sets the optimiser's learning rate.

    Parameters
    ----------
    schedule : callable
        `schedule(epoch, lr) -> lr`, from the epoch (from 0) and the current rate. With `by_batch` it is called
        before every batch, and epoch is a float.
    by_batch : bool
    """

    def __init__(self, schedule, by_batch=False):
        self.schedule = schedule
        self.by_batch = by_batch
        self._epoch = 0
        self._batches = 1

    def on_train_begin(self, logs=None):
        self._batches = -(-logs["samples"] // logs["batch_size"])

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if not self.by_batch:
            self.model.optimizer.lr = float(self.schedule(epoch, self.model.optimizer.lr))

    def on_train_batch_begin(self, batch, logs=None):
        if self.by_batch:
            epoch = self._epoch + batch / self._batches
            self.model.optimizer.lr = float(self.schedule(epoch, self.model.optimizer.lr))
