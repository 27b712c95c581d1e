"""The C driver (tests/c): builds and runs where there is a compiler; in the folder `CCONV_DRIVER`, where that is set."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "c"

needs_compiler = pytest.mark.skipif(
    not (shutil.which("make") and shutil.which("cc")), reason="no make and C compiler here"
)


@needs_compiler
def test_driver(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "MAKEFLAGS")}
    answer = subprocess.run(
        ["make", "-s", "-C", HERE, "check", f"BUILD={os.environ.get('CCONV_DRIVER', tmp_path)}", "ARGS=--rounds 30"],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-4000:]
    assert re.search(r"^\d+ passed, 0 failed$", answer.stdout, re.MULTILINE)


def test_every_check_is_listed():
    """A file that defines a check or a test is entered in check.h, which is what the driver runs."""
    listed = set(re.findall(r"X\((\w+)\)", (HERE / "check.h").read_text()))
    defined = {
        n
        for p in HERE.glob("*.c")
        for n in re.findall(r"^void ((?:check|test)_(?!done)\w+)\(check \*c\)$", p.read_text(), re.M)
    }
    assert defined == listed
