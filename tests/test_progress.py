"""What training shows: bars on terminals, lines elsewhere, nothing when quiet."""

import io
import re

import pytest
import small_model

import cconv
from cconv.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fit(epochs=2, callbacks=(), verbose=0):
    (x, y), test = small_model.small_data()
    return small_model.small_model().fit(
        x, y, epochs=epochs, validation_data=test, callbacks=callbacks, verbose=verbose
    )


def test_quiet(capfd):
    fit(verbose=0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [1, 2])
def test_lines_where_nothing_can_be_redrawn(capfd, verbose):
    history = fit(epochs=2, verbose=verbose).history
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 2 and "\r" not in err
    for n, line in enumerate(lines):
        assert line.startswith(f"epoch {n + 1}/2  loss {history['loss'][n]:.4f}, accuracy ")
        assert f"val_accuracy {history['val_accuracy'][n]:.4f}" in line
        assert re.search(r"[\d.]+ s  [\d,]+ images/s$", line)


def test_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(cconv.progress, "_REFRESH", 0)
    terminal = Terminal()
    history = fit(epochs=2, callbacks=[Progress(1, terminal)]).history
    text = terminal.getvalue()
    assert text.count("\n") == 2 and text.count("\r") >= 4
    last = text.rstrip("\n").split("\n")[-1].split("\r")[-1]
    assert last.startswith("epoch 2/2: 100%") and "images/s" in last and f"loss {history['loss'][-1]:.4f}" in last
    assert f"val_accuracy {history['val_accuracy'][-1]:.4f}" in last
    assert re.search(r"\d\d:\d\d<", last), "time left"


def test_lines_on_a_terminal_when_asked():
    terminal = Terminal()
    fit(epochs=1, callbacks=[Progress(2, terminal)])
    assert "\r" not in terminal.getvalue() and terminal.getvalue().count("\n") == 1


def test_bar_ends_when_training_fails(monkeypatch):
    terminal = Terminal()

    class Fail(cconv.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("stop here")

    progress = Progress(1, terminal)
    with pytest.raises(RuntimeError, match="stop here"):
        fit(callbacks=[progress, Fail()])
    assert progress._bar is None and terminal.getvalue().endswith("\n")


def test_streams_that_are_closed_or_no_streams():
    closed = io.StringIO()
    closed.close()
    assert not Progress(1, closed).bars
    assert not Progress(1, object()).bars


def test_without_standard_error(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    fit(epochs=1, verbose=1)
