"""Pages out of what stands elsewhere: figures of cconv.plot, Markdown files of the repository, plain docstrings."""

import inspect
import re
from pathlib import Path

from docutils import nodes
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
FILES = {"contributing": "CONTRIBUTING.md", "core": "src/cconv/README.md", "changelog": "CHANGELOG.md"}


def figures(block, block_vars, gallery_conf):
    """Scraper of the gallery: the figures, returned but not shown, that a block has given a name."""
    from sphinx_gallery.scrapers import figure_rst

    paths = []
    for value in list(block_vars["example_globals"].values()):
        if isinstance(value, Figure) and getattr(value, "number", None) is None and not hasattr(value, "saved"):
            value.saved = next(block_vars["image_path_iterator"])
            value.savefig(value.saved, dpi=110)
            paths.append(value.saved)
    return figure_rst(paths, gallery_conf["src_dir"])


def _whole_file(app, docname, source):
    """A page that stands for a file of the repository gets its text; links among these files stay links."""
    if docname in FILES:
        text = (ROOT / FILES[docname]).read_text()
        app.env.note_dependency(str(ROOT / FILES[docname]))
        for page, file in FILES.items():
            text = text.replace(f"]({file})", f"]({page}.md)")
        source[0] = text


def _tidied(app, doctree):
    """Code without marks for the formatter, which mean nothing to a reader, and without empty lines at its end."""
    for block in list(doctree.findall(nodes.literal_block)):
        if block.rawsource == block.astext():
            block.rawsource = block.rawsource.replace("  # fmt: skip", "").rstrip()
            block[:] = [nodes.Text(block.rawsource)]


def _benchmarks(app, docname, source):
    """`@benchmarks@` is the table of README.md, which the benchmarks write themselves."""
    if "@benchmarks@" in source[0]:
        app.env.note_dependency(str(ROOT / "README.md"))
        table = re.search(
            r"<!-- benchmarks: begin -->\n(.*)<!-- benchmarks: end -->", (ROOT / "README.md").read_text(), re.S
        )
        source[0] = source[0].replace("@benchmarks@", table[1])


def _plain(app, what, name, value, options, lines):
    """In docstrings |x| is a size, a * b a product, and name_ a name: never markup."""
    for number, line in enumerate(lines):
        # "K. He" is a name, not item K of a list.
        line = re.sub(r"^(\s*)([A-Z]\. [A-Z])", r"\1\\\2", line)
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = [re.sub(r"(?<!\\)[|*]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def _borrowed(app, what, name, value, skip, options):
    """What a module borrows from a private one is not its own; constants of a class have the docstring of their type."""
    if what == "class":
        plain = isinstance(value, property) and not value.__doc__
        return True if plain or isinstance(value, (bool, int, float, str, tuple)) else None
    origin = str(getattr(value, "__module__", None) or "")
    return True if what == "module" and (not origin.startswith("cconv") or "._" in origin) else None


def _signature(app, what, name, value, options, signature, annotation):
    """That of the constructor, where `__new__` only notes the arguments down."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", str(inspect.signature(value))), annotation


def setup(app):
    app.connect("source-read", _whole_file)
    app.connect("autodoc-process-signature", _signature)
    app.connect("source-read", _benchmarks)
    app.connect("doctree-read", _tidied)
    app.connect("autodoc-process-docstring", _plain, priority=400)
    app.connect("autodoc-skip-member", _borrowed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
