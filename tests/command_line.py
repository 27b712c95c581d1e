"""The command line as users type it, for tests: its exit status and what it prints."""

import pytest

from cconv.cli import main


def cli(capfd, *words):
    status = main([str(word) for word in words])
    out, err = capfd.readouterr()
    return status, out, err


def usage_error(capfd, *words):
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    out, err = capfd.readouterr()
    assert stop.value.code == 2 and out == "" and "Traceback" not in err
    return err


def failure(capfd, *words):
    status, out, err = cli(capfd, *words)
    assert status == 1 and out == "" and err.startswith("cconv: error: ") and err.count("\n") == 1
    return err
