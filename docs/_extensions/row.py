"""`.. row:: 1.01 1.02`: the methods of tests/rows.md that a page shows; an invisible anchor, row-1.01."""

import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

METHODS = dict(
    re.findall(r"^\| ([0-9S][0-9.]*) \| (.+) \|$", (Path(__file__).parents[2] / "tests" / "rows.md").read_text(), re.M)
)


class Row(Directive):
    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        anchors = []
        for identifier in self.arguments[0].split():
            if identifier not in METHODS:
                raise self.error(f"tests/rows.md has no method {identifier}")
            anchors.append(nodes.target(ids=[f"row-{identifier}"]))
        return anchors


def setup(app):
    app.add_directive("row", Row)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
