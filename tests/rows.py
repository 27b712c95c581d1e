"""Where each method of rows.md is tested (`@pytest.mark.row("1.01", ...)`) or shown (`.. row:: 1.01` in docs/).

    python tests/rows.py [--missing]

Prints id, method and places; with --missing only methods without one. The exit status is 1 when there are any.
"""

import ast
import re
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGES = TESTS.parent / "docs"


def methods():
    """id -> method, in the order of the table."""
    lines = re.findall(r"^\| ([0-9S][0-9.]*) \| (.+) \|$", (TESTS / "rows.md").read_text(), re.M)
    return dict(lines)


def places():
    """id -> list of "file::test" and of pages."""
    found = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                for identifier in _marks(node):
                    found.setdefault(identifier, []).append(f"{path.relative_to(TESTS)}::{node.name}")
    pages = {path for ending in ("rst", "md", "py") for path in PAGES.rglob(f"*.{ending}")}
    for path in sorted(pages):
        if path.relative_to(PAGES).parts[0] in ("generated", "_build"):
            continue
        for identifiers in re.findall(r"^(?:# )?\.\. row:: (.+)$", path.read_text(), re.M):
            for identifier in identifiers.split():
                found.setdefault(identifier.strip(","), []).append(f"docs/{path.relative_to(PAGES)}")
    return found


def _marks(function):
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.row":
            yield from (argument.value for argument in decorator.args)


def main():
    found, missing = places(), 0
    for identifier, method in methods().items():
        here = found.get(identifier, [])
        missing += not here
        if not here or "--missing" not in sys.argv[1:]:
            print(f"{identifier:5} {method}: {', '.join(here) or 'NOWHERE'}")
    print(f"{len(methods()) - missing} of {len(methods())} methods have a place")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
