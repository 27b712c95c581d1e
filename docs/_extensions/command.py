"""`.. command:: cconv summary lenet5`: a command line and what it printed, run while the site is built, in a folder of its own."""

import os
import shlex
import subprocess
import sys
import tempfile

from docutils import nodes
from docutils.parsers.rst import Directive


class Command(Directive):
    required_arguments = 1
    final_argument_whitespace = True
    folder = tempfile.TemporaryDirectory()

    def run(self):
        typed = " ".join(self.arguments[0].split())
        program, *words = shlex.split(typed)
        if program != "cconv":
            raise self.error("a command line of cconv is expected")
        done = subprocess.run(
            [sys.executable, "-m", "cconv", *words], cwd=self.folder.name, env=os.environ | {"COLUMNS": "88"},
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise self.error(f"{typed} failed: {done.stderr}")
        prompt, printed = f"$ {typed}", done.stdout.rstrip()
        return [
            nodes.literal_block(prompt, prompt, language="console"),
            nodes.literal_block(printed, printed, language="none"),
        ]


def setup(app):
    app.add_directive("command", Command)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
