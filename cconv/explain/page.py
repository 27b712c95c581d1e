"""What an explanation is: a page of paragraphs, formulas, matrices and tables, and the values it shows."""

import re
from textwrap import fill

import numpy as np


class Page:
    """An explanation as text, Markdown or LaTeX; its values are attributes and NumPy objects.

    `print(page)` shows the text, notebooks show the Markdown, `page.latex()` goes into a document.

    Parameters
    ----------
    title : str
    **values : what the page is about, reached as attributes
    """

    def __init__(self, title, **values):
        self.title = title
        self.values = dict(values)
        self._parts = []

    def __getattr__(self, name):
        values = self.__dict__.get("values", {})
        if name in values:
            return values[name]
        raise AttributeError(f"this page has no {name!r}; it has {', '.join(values) or 'no values'}")

    def __dir__(self):
        return [*super().__dir__(), *self.values]

    def add_paragraph(self, text):
        """Add plain text; returns self, as the other adders do."""
        self._parts.append(("paragraph", text))
        return self

    def add_formula(self, text, latex):
        """Add a formula, for plain text and for LaTeX."""
        self._parts.append(("formula", (text, latex)))
        return self

    def add_matrix(self, name, array):
        """Add `name = array`; more than two axes are shown one plane after the other."""
        self._parts.append(("matrix", (name, np.asarray(array))))
        return self

    def add_table(self, header, rows):
        """Add a table; the cells are strings or numbers."""
        self._parts.append(("table", ([str(cell) for cell in header], [[_cell(c) for c in row] for row in rows])))
        return self

    def text(self):
        """The page for a terminal."""
        return self._rendered(_Text)

    def markdown(self):
        """The page in Markdown, formulas and matrices in LaTeX between dollars."""
        return self._rendered(_Markdown)

    def latex(self):
        """The page in LaTeX (amsmath), without preamble."""
        return self._rendered(_Latex)

    def _rendered(self, form):
        parts = [getattr(form, kind)(content) for kind, content in self._parts]
        return "\n\n".join([form.title(self.title), *parts]) + "\n"

    def __str__(self):
        return self.text()

    def _repr_markdown_(self):
        return self.markdown()

    def __repr__(self):
        return f"<Page {self.title!r}: {', '.join(self.values)}>"


class Explained(np.ndarray):
    """An array that also carries the page explaining it, as `.page`; arithmetic gives plain values."""

    def __new__(cls, array, page):
        self = np.asarray(array).view(cls)
        self.page = page
        return self

    def __array_finalize__(self, source):
        self.page = getattr(source, "page", None)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return array[()] if return_scalar else np.asarray(array)

    def text(self):
        """The page for a terminal."""
        return self.page.text()

    def markdown(self):
        """The page in Markdown."""
        return self.page.markdown()

    def latex(self):
        """The page in LaTeX."""
        return self.page.latex()


def _cell(value):
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return number(value)


def number(value):
    """A number in as few characters as tell it to six digits."""
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def _planes(array):
    """(index prefix, 2-D array) pairs; axes of length 1 in front, which a lone image has, go without an index."""
    while array.ndim > 2 and len(array) == 1:
        array = array[0]
    if array.ndim <= 2:
        return [("", np.atleast_2d(array))]
    return [(f"[{','.join(map(str, index))}]", array[index]) for index in np.ndindex(array.shape[:-2])]


class _Text:
    @staticmethod
    def title(text):
        return f"{text}\n{'=' * len(text)}"

    @staticmethod
    def paragraph(text):
        return fill(text, 84, break_long_words=False, break_on_hyphens=False)

    @staticmethod
    def formula(both):
        return f"    {both[0]}"

    @staticmethod
    def matrix(named):
        name, array = named
        blocks = []
        for index, plane in _planes(array):
            cells = [[number(value) for value in row] for row in plane]
            width = max((len(cell) for row in cells for cell in row), default=1)
            head = f"{name}{index} = "
            lines = ["[ " + "  ".join(cell.rjust(width) for cell in row) + " ]" for row in cells] or ["[ ]"]
            blocks.append("\n".join((head if i == 0 else " " * len(head)) + line for i, line in enumerate(lines)))
        return "\n".join(blocks)

    @staticmethod
    def table(content):
        header, rows = content
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        line = lambda row: "  ".join(  # noqa: E731
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


class _Latex:
    @staticmethod
    def title(text):
        return rf"\section*{{{_escaped(text)}}}"

    @staticmethod
    def paragraph(text):
        return _escaped(text)

    @staticmethod
    def formula(both):
        return rf"\[ {both[1]} \]"

    @staticmethod
    def matrix(named):
        name, array = named
        blocks = []
        for index, plane in _planes(array):
            body = r" \\ ".join(" & ".join(_entry(value) for value in row) for row in plane)
            blocks.append(rf"\[ {_mathematical(name)}{index} = \begin{{bmatrix}} {body} \end{{bmatrix}} \]")
        return "\n".join(blocks)

    @staticmethod
    def table(content):
        header, rows = content
        lines = [" & ".join(map(_escaped, row)) + r" \\" for row in [header, *rows]]
        lines.insert(1, r"\hline")
        return "\n".join([rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", *lines, r"\end{tabular}"])


class _Markdown(_Latex):
    @staticmethod
    def title(text):
        return f"## {text}"

    @staticmethod
    def paragraph(text):
        return text

    @staticmethod
    def formula(both):
        return f"$$ {both[1]} $$"

    @staticmethod
    def matrix(named):
        return _Latex.matrix(named).replace(r"\[", "$$").replace(r"\]", "$$")

    @staticmethod
    def table(content):
        header, rows = content
        rule = "|---|" + "---:|" * (len(header) - 1)
        return "\n".join(["| " + " | ".join(header) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])


def _mathematical(name):
    """The name of a matrix in a formula: letters and products as they are, words upright and with their spaces."""
    if re.search(r"[a-z]{3}|[a-z] [a-z]", name.replace("(x)", "").replace("rot", "")):
        return rf"\text{{{_escaped(name)}}}"
    name = name.replace("(x)", r"\otimes").replace("rot180", r"\mathrm{rot180}")
    return re.sub(r"\^(\w)", r"^{\\mathsf{\1}}", name)


def _entry(value):
    """A number, a fraction as a string, or a name such as w12."""
    return re.sub(r"^([a-z])(\d+)$", r"\1_{\2}", value) if isinstance(value, str) else number(value)


def _escaped(text, marks="&%$#_{}^~\\"):
    spelt = {"^": r"\^{}", "~": r"\~{}", "\\": r"\textbackslash{}"}
    return "".join(spelt.get(letter, f"\\{letter}") if letter in marks else letter for letter in text)
