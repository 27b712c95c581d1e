"""Ending training early."""

from cconv.callbacks.base import Callback, Monitor
from cconv.functional._arguments import whole


class EarlyStopping(Monitor):
    """Ends training when the watched entry has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
    min_delta : float
    patience : int
    mode : "auto", "min" or "max"
    restore_best_weights : bool
        Put the weights of the best epoch back at the end; after a resume, of the best epoch since.
    start_from_epoch : int
        Epochs before it are not watched.

    Attributes
    ----------
    best : the best value, or None
    best_epoch, stopped_epoch : int or None
    """

    state = ("best", "wait", "best_epoch")

    def __init__(
        self, monitor="val_loss", min_delta=0.0, patience=0, mode="auto", restore_best_weights=False, start_from_epoch=0
    ):
        super().__init__(monitor, min_delta, mode)
        self.patience = whole(patience, "patience", 0)
        self.restore_best_weights = bool(restore_best_weights)
        self.start_from_epoch = whole(start_from_epoch, "start_from_epoch", 0)
        self.wait, self.best_epoch, self.stopped_epoch = 0, None, None
        self._weights = None

    def set_model(self, model):
        super().set_model(model)
        self.wait, self.best_epoch, self.stopped_epoch, self._weights = 0, None, None, None

    def on_train_begin(self, logs=None):
        # A resumed training that had ended does not begin again.
        if self.wait >= max(self.patience, 1):
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.start_from_epoch:
            return
        if self.improved(logs):
            self.wait, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self._weights = [net.state_dict() for net in self._nets()]
            return
        self.wait += 1
        if self.wait >= max(self.patience, 1):
            self.model.stop_training, self.stopped_epoch = True, epoch

    def on_train_end(self, logs=None):
        if self._weights is not None:
            for net, weights in zip(self._nets(), self._weights, strict=True):
                net.load_state_dict(weights)
            self._weights = None

    def _nets(self):
        """The network, and the averages of its weights where the optimiser keeps them."""
        return (
            [self.model.net]
            if self.model.inference_net is self.model.net
            else [self.model.net, self.model.inference_net]
        )


class TerminateOnNaN(Callback):
    """Lets `fit` return what it has when the loss is no longer finite, instead of raising FloatingPointError.

    The weights are those before the step that failed, and the epoch begun is not in the history.
    """

    def on_divergence(self, error):
        """Called by `fit` with the FloatingPointError."""
        self.model.stop_training = True
        self.error = error
