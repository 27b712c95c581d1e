"""A network with a loss and an optimiser: fit, evaluate, predict, save."""

import math

import numpy as np

from cconv import _runtime, nn, samples
from cconv.callbacks import Callback, CallbackList
from cconv.data.loader import DataLoader
from cconv.functional._arguments import whole
from cconv.fuse import fuse, recomputing
from cconv.history import History
from cconv.inspected import Inspected
from cconv.interrupt import Held
from cconv.metrics import named
from cconv.nn.auxiliary import heads
from cconv.nn.combine import run_backward
from cconv.nn.loss import loss_of
from cconv.progress import Progress


class Model(Inspected):
    """Trains and runs a network, with Keras's verbs.

    Parameters
    ----------
    net : nn.Layer
    loss : str or object
        "cross_entropy" (outputs are logits, targets class numbers or probabilities), "mse", another name of
        `cconv.nn.loss.NAMED`, or an object with `forward(outputs, target) -> (loss, backward)` and
        `backward() -> d_outputs`.
    optimizer : object from cconv.optim, optional
        SGD(0.01, momentum=0.9) unless given. It is bound to `net` here.
    metrics : sequence
        "accuracy", "top5_accuracy", or functions `f(outputs, target) -> mean over the batch`, named by their __name__.

    Attributes
    ----------
    inference_net : nn.Layer
        What validation, `evaluate` and `predict` run: `net`, or, where the optimiser averages weights (`ema`), a copy of it
        that has the averages.
    stop_training : bool, a callback sets it to end `fit` after the epoch
    epoch : int, epochs completed
    history : History of the last `fit`, also after an error or Ctrl-C
    notes : dict of JSON values that travels with the checkpoint
    recomputed : what `recompute` was called with
    input_shape : shape of one sample of the last training data, or None

    Notes
    -----
    In a network of 8 MB or more each parameter is updated as soon as the backward pass has its gradient, which is
    not kept: `Parameter.grad` then takes no part in training. So with optimisers that define `_update` alone,
    without clipping and accumulation, and networks of cconv's layers, each in one place. The weights are the same,
    to the bit.

    Examples
    --------
    >>> model = cconv.Model(cconv.models.lenet5(rng=0), optimizer=cconv.optim.SGD(0.05, momentum=0.9))
    >>> (x, y), test = cconv.data.digits()
    >>> history = model.fit(x, y, epochs=5, validation_data=test)
    """

    def __init__(self, net, loss="cross_entropy", optimizer=None, metrics=("accuracy",)):
        if not isinstance(net, nn.Layer):
            raise TypeError(f"net must be an nn.Layer, got {type(net).__name__}")
        if optimizer is None:
            from cconv.optim import SGD

            optimizer = SGD(0.01, momentum=0.9)
        if isinstance(optimizer, type) or not callable(getattr(optimizer, "bind", None)):
            raise TypeError(f"optimizer must be an object such as cconv.optim.SGD(0.1), got {optimizer!r}")
        self.net = net
        self.loss = loss_of(loss)
        self.loss_name = loss if isinstance(loss, str) else None
        self.metrics = named(metrics)
        self.optimizer = optimizer
        net.zero_grad()
        self.recomputed = ()
        self._bind()
        self._parameter = next(net.parameters(), None)
        self._seen = None, None  # shape of a sample, and of what the network gives for it
        self.stop_training = False
        self.epoch = 0
        self.history = History()
        self.notes = {}
        self.input_shape = None
        self._loader = None
        self._hooks = None
        self._place = None
        self._totals = None

    def _bind(self):
        self.optimizer.bind(self.net)
        can_update_in_backward = getattr(self.optimizer, "can_update_in_backward", None)
        self._updates_in_backward = can_update_in_backward is not None and can_update_in_backward(self.net)
        self._fused = recomputing(fuse(self.net), self.recomputed)
        averages = getattr(self.optimizer, "ema", None) is not None
        self.inference_net = self.optimizer.averaged_copy(self.net) if averages else self.net
        self._inference = fuse(self.inference_net) if averages else self._fused

    def __setstate__(self, state):
        # The parameters of a deep copy or a pickle become views of its own optimiser's arrays again.
        vars(self).update(state)
        kept = self.optimizer.state_dict()
        self._bind()
        self.optimizer.load_state_dict(kept)

    def fit(
        self, x, y, batch_size=32, epochs=1, validation_data=None, callbacks=(), rng=0, verbose=1, initial_epoch=0,
        shuffle=True, augment=None, resume=False,
    ):  # fmt: skip
        """Train for `epochs` passes over the data.

        Parameters
        ----------
        x : array (N, ...) of floats, or uint8 that is divided by 255 batch by batch; or a Source such as ImageFolder
        y : array (N,) of class numbers or (N, classes) of probabilities (cross_entropy), or targets of the outputs' shape
        batch_size, epochs : int
        validation_data : (x, y), optional
            Evaluated after every epoch.
        callbacks : Callback or sequence of them
        rng : int, numpy.random.Generator or None
            Seed of the order of samples: the same seed gives the same weights, to the bit.
        verbose : 0, 1 or 2
            0 is quiet, 1 shows a bar, 2 a line an epoch.
        initial_epoch : int
            Number of the first epoch; training ends before epoch number `epochs`.
        shuffle : bool
        augment : callable, optional
            Changes every training batch, such as `cconv.data.RandomShift(2)`; see `DataLoader`.
        resume : bool
            Continue a loaded checkpoint where it was saved, also within an epoch: with the same data and
            arguments the weights become those of the unbroken run, to the bit.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            For arrays that do not fit each other or the network, and labels outside its classes; nothing
            has run then.
        FloatingPointError
            When the loss is no longer finite, naming epoch and step, or, where the optimiser clips their norm, the
            gradients; the weights are those before that step.
        KeyboardInterrupt
            Ctrl-C ends the step, or an epoch's callbacks, first (a second one does not wait) and passes through after
            on_train_end; `self.history` has the epochs completed, and a checkpoint continues to the bit.
        MemoryError
            The weights of a large network may then be those of an unfinished step.
        """
        x, y = self._checked(x, y)
        if validation_data is not None:
            validation_x, validation_y = samples.two(validation_data, "validation_data")
            validation_data = self._checked(validation_x, validation_y, ("validation x", "validation y"))
        epochs, initial_epoch = whole(epochs, "epochs", 0), whole(initial_epoch, "initial_epoch", 0)
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, got {verbose!r}")
        loader = DataLoader(x, y, batch_size, shuffle, 0 if resume and self._place else rng, augment, reuse=True)
        sums = None
        if resume and self._place:
            loader.load_state_dict(self._place)
            sums = self._place.get("sums")
        else:
            loader.epoch = initial_epoch
        self.input_shape, self.stop_training = x.shape[1:], False
        self.history = History()
        callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks
        hooks = CallbackList(self, [self.history, *callbacks, *([Progress(verbose)] if verbose else [])])
        if resume and self._place:
            hooks.load_state_dict(self._place.get("callbacks", []))
        self._loader, self._hooks = loader, hooks
        hooks.call(
            "on_train_begin",
            {"epochs": epochs, "first_epoch": loader.epoch, "samples": len(x), "batch_size": loader.batch_size},
        )
        try:
            while loader.epoch < epochs and not self.stop_training:
                self._run_epoch(loader, sums, hooks, validation_data)
                sums = None
        except FloatingPointError as error:
            if not hooks.diverged(error):
                raise
        finally:
            hooks.call("on_train_end", None)
            self._keep_place()
            self._loader = self._hooks = None
        return self.history

    def _run_epoch(self, loader, sums, hooks, validation_data):
        epoch = loader.epoch
        totals = self._totals = dict(sums) if sums else dict.fromkeys(("loss", *self.metrics), 0.0)
        hooks.call("on_epoch_begin", epoch, None)
        step, dtype = loader.position // loader.batch_size, self.dtype
        with Held() as interrupt:
            for x, y in loader:
                hooks.batch_begin(step)
                loss, outputs = self._step(samples.converted(x, dtype), y, f"epoch {epoch + 1}, step {step + 1}")
                count = len(x)
                totals["loss"] += loss * count
                for name, metric in self.metrics.items():
                    totals[name] += metric(outputs, y) * count
                hooks.batch_end(step, totals, loader.position)
                step += 1
                # Here weights, sums and place agree, so that a checkpoint continues to the bit.
                interrupt.release()
            # Broken off before its callbacks have had their turn, an epoch goes on from its last batch.
            loader.epoch, loader.position = epoch, len(loader.x)
        logs = {name: total / max(len(loader.x), 1) for name, total in totals.items()}
        if validation_data is not None:
            results = self._evaluate(*validation_data, 256)
            logs |= {f"val_{name}": value for name, value in results.items()}
        with Held():
            # A checkpoint written by a callback continues with the next epoch.
            loader.epoch, loader.position = epoch + 1, 0
            self.epoch, self._totals = epoch + 1, None
            hooks.call("on_epoch_end", epoch, logs)

    def _step(self, x, y, where):
        """Forward, loss, backward, update, with denormals flushed to zero meanwhile."""
        mode = _runtime.fp_mode()
        _runtime.set_fp_mode(_runtime.flushing(mode))
        try:
            with heads() as found:
                outputs, backward = self._fused.forward(x, True)
            loss, loss_backward = self.loss.forward(outputs, y)
            loss = float(loss) + found.loss(self.loss, y)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} at {where}: the weights before this step are kept. "
                    "A smaller learning rate usually helps; also look for NaN or huge values in x"
                )
            self._backward(backward, loss_backward())
        finally:
            _runtime.set_fp_mode(mode)
        return loss, outputs

    def _backward(self, backward, d_outputs):
        if self._updates_in_backward:
            with self.optimizer.updating_in_backward():
                run_backward(backward, d_outputs, False)
            return
        try:
            run_backward(backward, d_outputs, False)
            self.optimizer.step(zero_grad=True)
        except BaseException:
            # What a broken-off backward pass has added must not reach the next step.
            self.optimizer.zero_grad()
            raise

    def train_on_batch(self, x, y):
        """One update with one batch.

        Returns
        -------
        dict of float : loss and metrics of the batch, before the update

        Raises
        ------
        As `fit`.
        """
        x, y = self._checked(x, y)
        with Held():
            loss, outputs = self._step(samples.converted(x, self.dtype), y, "this batch")
        return {"loss": loss} | {name: float(metric(outputs, y)) for name, metric in self.metrics.items()}

    def test_on_batch(self, x, y):
        """Loss and metrics of one batch, without an update."""
        x, y = self._checked(x, y)
        return self._evaluate(x, y, max(len(x), 1))

    def evaluate(self, x, y, batch_size=256):
        """Loss and metrics over a data set, as a dict with the keys "loss", "accuracy", ...

        Raises
        ------
        TypeError, ValueError
            As `fit`, and for an empty data set.
        """
        return self._evaluate(*self._checked(x, y), whole(batch_size, "batch_size", 1))

    def _evaluate(self, x, y, batch_size):
        totals, dtype = dict.fromkeys(("loss", *self.metrics), 0.0), self.dtype
        for start in range(0, len(x), batch_size):
            target = y[start : start + batch_size]
            outputs = self._inference(samples.converted(x[start : start + batch_size], dtype))
            totals["loss"] += float(self._loss_value(outputs, target)) * len(target)
            for name, metric in self.metrics.items():
                totals[name] += metric(outputs, target) * len(target)
        return {name: float(total / len(x)) for name, total in totals.items()}

    def _loss_value(self, outputs, target):
        return self.loss(outputs, target) if callable(self.loss) else self.loss.forward(outputs, target)[0]

    def predict(self, x, batch_size=256):
        """The network's outputs for `x`: logits (N, classes) for a classifier, not probabilities.

        `cconv.functional.softmax(model.predict(x))` are probabilities, `.argmax(axis=1)` classes.
        """
        x, batch_size = samples.some(x, "x"), whole(batch_size, "batch_size", 1)
        if self.net.config is not None:
            self._outputs("x", x.shape[1:])
        results, dtype = None, self.dtype
        for start in range(0, len(x), batch_size):
            outputs = self._inference(samples.converted(x[start : start + batch_size], dtype))
            if results is None:
                results = np.empty((len(x), *outputs.shape[1:]), outputs.dtype)
            results[start : start + len(outputs)] = outputs
        return results

    def save(self, path):
        """Write network, optimiser and training state to `path`, completely or not at all (safetensors).

        Raises
        ------
        OSError
            With the path, when the file cannot be written; an older file is kept.
        """
        from cconv.checkpoint import save_model

        save_model(self, path)

    @staticmethod
    def load(path, net=None, optimizer=None, loss=None):
        """The Model that `save` wrote.

        Parameters
        ----------
        path : path-like
        net : nn.Layer, optional
            Receives the weights; needed where the network has layers from outside cconv.nn.
        optimizer : optional
            Receives the optimiser's state; needed for an optimiser from outside cconv.optim.
        loss : optional
            Needed for a loss from outside cconv.nn.

        Raises
        ------
        cconv.checkpoint.CheckpointError
            When the file is damaged or not a model.
        OSError
            When it cannot be read.
        """
        from cconv.checkpoint import load_model

        return load_model(Model, path, net, optimizer, loss)

    @property
    def dtype(self):
        """Element type of the network's parameters."""
        return np.dtype(np.float32) if self._parameter is None else self._parameter.dtype

    def place(self):
        """Where training stands: seed, epoch, position in the epoch and the sums so far; None before `fit`."""
        self._keep_place()
        return self._place

    def restore(self, epoch, input_shape, place, notes):
        """Take over what a checkpoint says of the training so far."""
        self.epoch, self.input_shape, self._place, self.notes = epoch, input_shape, place, notes

    def _keep_place(self):
        if self._loader is not None:
            sums = {"sums": dict(self._totals)} if self._totals else {}
            self._place = self._loader.state_dict() | sums | {"callbacks": self._hooks.state_dict()}

    def _outputs(self, name, sample):
        """Shape of the outputs for one sample of that shape; `name` is what the samples are called."""
        if self._seen[0] != sample:
            self._seen = sample, samples.outputs(self.net, name, sample)
        return self._seen[1]

    def _checked(self, x, y, names=("x", "y")):
        x, y = samples.pair(x, y, names)
        if not getattr(self.loss, "takes_classes", False):
            return x, y.astype(self.dtype, copy=False) if y.dtype.kind == "f" else y
        return x, samples.classes(y, names[1], self._outputs(names[0], x.shape[1:]), self.dtype)
