"""What an epoch of training gave, as `fit` returns it."""

from cconv.callbacks import Callback


class History(Callback):
    """Record of training.

    Attributes
    ----------
    history : dict of str -> list of float
        One value an epoch: loss, accuracy, and with validation data val_loss, val_accuracy.
    epoch : list of int, the epochs' numbers from 0
    """

    def __init__(self):
        self.history = {}
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)

    def __repr__(self):
        last = ", ".join(f"{key} {values[-1]:.4g}" for key, values in self.history.items())
        return f"History({len(self.epoch)} epochs{': ' + last if last else ''})"
