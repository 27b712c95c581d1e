"""What a callback is: hooks with Keras's names, and a state that a checkpoint carries."""


class Callback:
    """Base of callbacks; override what you need. `self.model` is the Model that trains.

    `logs` is a dict of floats: loss and metrics, on_epoch_end also val_loss and so on.

    Attributes
    ----------
    model : the Model that trains
    state : names of the attributes that a resumed training continues with, JSON values
    last : whether its on_epoch_end comes after those of the others, as it must for one that saves the model
    """

    model = None
    state = ()
    last = False

    def set_model(self, model):
        """Called when a training begins, before a resumed one's state comes in; a state of one's own begins afresh."""
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
        self.callbacks = sorted(callbacks, key=lambda callback: callback.last)
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

    def diverged(self, error):
        """Tell those with `on_divergence` that the loss is no longer finite; whether there are any."""
        listeners = [callback for callback in self.callbacks if hasattr(callback, "on_divergence")]
        for callback in listeners:
            callback.on_divergence(error)
        return bool(listeners)

    def state_dict(self):
        """What each callback with a state continues from, in their order."""
        kept = [callback for callback in self.callbacks if callback.state]
        return [[type(c).__name__, {name: getattr(c, name) for name in c.state}] for c in kept]

    def load_state_dict(self, states):
        """Give each callback the state of the one of its class, in order; those not met keep their own."""
        waiting = [callback for callback in self.callbacks if callback.state]
        for kind, values in states:
            callback = next((c for c in waiting if type(c).__name__ == kind and set(c.state) == set(values)), None)
            if callback is not None:
                waiting.remove(callback)
                for name, value in values.items():
                    setattr(callback, name, value)


class Monitor(Callback):
    """Base of callbacks that watch one entry of the logs for its best value.

    Parameters
    ----------
    monitor : str
    min_delta : float, 0 or more
        A change below it is no improvement.
    mode : "auto", "min" or "max"
        auto: the smaller is better, unless the name contains "acc".
    """

    def __init__(self, monitor, min_delta, mode):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.min_delta = float(min_delta)
        if not self.min_delta >= 0:
            raise ValueError(f"min_delta must be at least 0, got {min_delta}")
        self.sign = -1 if mode == "max" or (mode == "auto" and "acc" in monitor) else 1
        self.best = None

    def set_model(self, model):
        super().set_model(model)
        self.best = None

    def improved(self, logs):
        """Whether the watched entry is better than any before; then it becomes the best.

        Raises
        ------
        ValueError
            When the logs have no such entry.
        """
        if self.monitor not in (logs or {}):
            raise ValueError(f"{type(self).__name__}: no {self.monitor!r} in logs; there are {', '.join(logs or {})}")
        value = logs[self.monitor]
        if self.best is not None and not self.sign * value < self.sign * self.best - self.min_delta:
            return False
        self.best = value
        return True
