"""Writing down how training goes."""

import csv
import json
import time
from pathlib import Path

from cconv.callbacks.base import Callback


class _Logger(Callback):
    """One record an epoch in a file, complete after every epoch."""

    def __init__(self, filename, append=False):
        self.filename = Path(filename)
        self.append = append
        self._began = None

    def on_train_begin(self, logs=None):
        if not self.append or not self.filename.exists():
            self.filename.write_text("")
            return
        # What was interrupted may have left half a line, and lines of epochs that now come again.
        with self.filename.open(newline="") as file:
            lines = [line for line in file if line.endswith("\n")]
        try:
            kept = self._kept(lines, (logs or {}).get("first_epoch", len(lines)))
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self.filename}: not what {type(self).__name__} wrote") from None
        self.filename.write_text("".join(kept), newline="")

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
        Keep what the file holds of the epochs before the first, for a run that continues.
    """

    def _write(self, file, record):
        file.write(json.dumps(record) + "\n")

    def _kept(self, lines, first):
        return [line for line in lines if json.loads(line)["epoch"] <= first]


class CSVLogger(_Logger):
    """A line of comma-separated values an epoch under a line of names; parameters as JSONLogger."""

    def _write(self, file, record):
        writer = csv.DictWriter(file, list(record))
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(record)

    def _kept(self, lines, first):
        return lines[:1] + [line for line in lines[1:] if int(line.split(",", 1)[0]) <= first]


class TensorBoard(Callback):
    """Writes every epoch's logs and learning rate for TensorBoard; training and validation share a diagram.

    Parameters
    ----------
    log_dir : path-like

    Raises
    ------
    ImportError
        When tensorboardX is not installed (`pip install cconv[tensorboard]`).
    """

    def __init__(self, log_dir="runs/tensorboard"):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard needs tensorboardX: pip install cconv[tensorboard]") from None
        self.log_dir = Path(log_dir)
        self._open = SummaryWriter
        self._writers = {}

    def on_train_begin(self, logs=None):
        self._writers = {part: self._open(str(self.log_dir / part)) for part in ("train", "validation")}

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            part = "validation" if name.startswith("val_") else "train"
            self._writers[part].add_scalar(f"epoch_{name.removeprefix('val_')}", value, epoch + 1)
        self._writers["train"].add_scalar("epoch_learning_rate", self.model.optimizer.lr, epoch + 1)

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
