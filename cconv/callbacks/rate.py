"""Changing the learning rate during training."""

import inspect

from cconv.callbacks.base import Callback, Monitor
from cconv.functional._arguments import whole


class LearningRateScheduler(Callback):
    """Sets the optimiser's learning rate.

    Parameters
    ----------
    schedule : callable
        `schedule(epoch, lr) -> lr` from the epoch (from 0) and the current rate, or `schedule(epoch) -> lr`. With
        `by_batch` it is called before every batch, and epoch is a float.
    by_batch : bool
    """

    def __init__(self, schedule, by_batch=False):
        self.schedule = schedule
        self._takes_lr = _takes_two(schedule)
        self.by_batch = by_batch
        self._epoch = 0
        self._batches = 1

    def on_train_begin(self, logs=None):
        self._batches = -(-logs["samples"] // logs["batch_size"])

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if not self.by_batch:
            self._set(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if self.by_batch:
            self._set(self._epoch + batch / self._batches)

    def _set(self, epoch):
        optimizer = self.model.optimizer
        optimizer.lr = float(self.schedule(epoch, optimizer.lr) if self._takes_lr else self.schedule(epoch))


def _takes_two(function):
    if not callable(function):
        raise TypeError(f"schedule must be callable, got {function!r}")
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:
        # Some built-in functions have no signature to look at.
        return True
    return True


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` when the watched entry has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
    factor : float in (0, 1)
    patience, cooldown : int
        Epochs to wait for an improvement, and after a reduction before waiting begins again.
    mode : "auto", "min" or "max"
    min_delta, min_lr : float
    """

    state = ("best", "wait", "resting")

    def __init__(
        self, monitor="val_loss", factor=0.1, patience=10, mode="auto", min_delta=1e-4, cooldown=0, min_lr=0.0
    ):
        super().__init__(monitor, min_delta, mode)
        self.factor = float(factor)
        if not 0 < self.factor < 1:
            raise ValueError(f"factor must be between 0 and 1, got {factor}")
        self.patience = whole(patience, "patience", 0)
        self.cooldown = whole(cooldown, "cooldown", 0)
        self.min_lr = float(min_lr)
        self.wait = self.resting = 0

    def set_model(self, model):
        super().set_model(model)
        self.wait = self.resting = 0

    def on_epoch_end(self, epoch, logs=None):
        improved = self.improved(logs)
        if self.resting > 0:
            self.resting -= 1
            self.wait = 0
        self.wait = 0 if improved else self.wait + (self.resting == 0)
        if self.wait >= max(self.patience, 1) and not improved:
            optimizer = self.model.optimizer
            if optimizer.lr > self.min_lr:
                optimizer.lr = max(optimizer.lr * self.factor, self.min_lr)
                self.resting, self.wait = self.cooldown, 0
