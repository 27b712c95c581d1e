"""Progress of training: a bar in terminals and notebooks, a line an epoch elsewhere."""

import sys
import time

from cconv.callbacks import Callback

_REFRESH = 0.1


class Progress(Callback):
    """Shows loss, metrics, images per second and the time left.

    Parameters
    ----------
    verbose : 1 or 2
        1: a bar an epoch where output can be redrawn, otherwise as 2: one line an epoch.
    file : text stream
        Standard error when None.
    """

    def __init__(self, verbose=1, file=None):
        self.file = sys.stderr if file is None else file
        self.bars = verbose == 1 and (_in_notebook() or _redraws(self.file))
        self._bar = None
        self._epochs = self._samples = self._batch_size = 0
        self._began = self._shown = self._trained = 0.0

    def on_train_begin(self, logs=None):
        self._epochs, self._samples, self._batch_size = logs["epochs"], logs["samples"], logs["batch_size"]

    def on_epoch_begin(self, epoch, logs=None):
        self._began = self._shown = self._trained = time.perf_counter()
        self._title = f"epoch {epoch + 1:{len(str(self._epochs))}}/{self._epochs}"
        if self.bars:
            from tqdm.auto import tqdm

            self._bar = tqdm(
                total=self._samples, desc=self._title, unit=" images", unit_scale=True, file=self.file, leave=True,
                dynamic_ncols=True,
            )  # fmt: skip

    def on_train_batch_end(self, batch, logs=None):
        self._trained = time.perf_counter()
        if self._bar is None or self._trained - self._shown < _REFRESH:
            return
        self._shown = self._trained
        self._advance((batch + 1) * self._batch_size, logs)

    def on_epoch_end(self, epoch, logs=None):
        if self._bar is None:
            seconds = time.perf_counter() - self._began
            rate = self._samples / max(self._trained - self._began, 1e-9)
            print(f"{self._title}  {_words(logs)}  {seconds:.1f} s  {rate:,.0f} images/s", file=self.file, flush=True)
            return
        self._advance(self._samples, logs)
        self._close()

    def on_train_end(self, logs=None):
        self._close()

    def _advance(self, done, logs):
        self._bar.set_postfix_str(_words(logs), refresh=False)
        self._bar.update(min(done, self._samples) - self._bar.n)

    def _close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _words(logs):
    return ", ".join(f"{key} {value:.4f}" for key, value in (logs or {}).items())


def _redraws(stream):
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _in_notebook():
    return "ipykernel" in sys.modules
