"""The page for a student's first hour can be typed at Python's prompt, block by block."""

import contextlib
import io
import re
from code import InteractiveConsole
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "examples" / "by_hand" / "transpose.py"


@pytest.mark.skipif(not PAGE.exists(), reason="needs the repository")
def test_first_page_can_be_typed():
    text = PAGE.read_text().split('"""', 2)[2]
    console, printed, errors = InteractiveConsole(), io.StringIO(), io.StringIO()
    for block in re.split(r"(?m)^# %%$", text):
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            for line in [*block.strip("\n").split("\n"), ""]:
                console.push(line)
    assert not errors.getvalue()
    assert "[[19. 31.]\n [27. 32.]]" in printed.getvalue()
    assert printed.getvalue().endswith("dx = [  1   2   0 ]\n     [ -1   5   4 ]\n     [  0  -2   6 ]\n\n")
