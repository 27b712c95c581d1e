"""Saving the model during training."""

import time

from cconv.callbacks.base import Monitor


class ModelCheckpoint(Monitor):
    """Saves the model after epochs, and on request also within them.

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
    every_seconds : float, optional
        Save after a batch, too, when the last save is so long ago; `fit(resume=True)` goes on from there. Needs a
        `filepath` without fields.
    """

    state = ("best",)
    last = True

    def __init__(self, filepath, monitor="val_loss", save_best_only=False, mode="auto", every_seconds=None):
        super().__init__(monitor, 0.0, mode)
        self.filepath = str(filepath)
        self.save_best_only = save_best_only
        self.every_seconds = every_seconds
        if every_seconds is not None and (save_best_only or not every_seconds >= 0):
            raise ValueError("every_seconds must be at least 0, without save_best_only")
        self._saved = None

    def on_train_begin(self, logs=None):
        self._saved = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if self.every_seconds is not None and time.monotonic() - self._saved >= self.every_seconds:
            self._save({})

    def on_epoch_end(self, epoch, logs=None):
        if not self.save_best_only or self.improved(logs):
            self._save({"epoch": epoch + 1, **(logs or {})})

    def _save(self, fields):
        try:
            path = self.filepath.format(**fields)
        except (KeyError, IndexError) as error:
            raise ValueError(f"filepath {self.filepath!r}: no field {error}; there are {', '.join(fields)}") from None
        self.model.save(path)
        self._saved = time.monotonic()
