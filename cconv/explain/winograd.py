"""Winograd's minimal filtering: its matrices from interpolation points, and what they save."""

from fractions import Fraction

import numpy as np

from cconv import functional as F
from cconv.explain.page import Page
from cconv.functional._arguments import whole


def _points(count):
    """0, 1, -1, 2, -2, 1/2, -1/2, 3, -3, 1/3, ...: small numbers keep the rounding errors small."""
    points, size = [Fraction(0), Fraction(1), Fraction(-1)], 2
    while len(points) < count:
        points += [Fraction(size), Fraction(-size), Fraction(1, size), Fraction(-1, size)]
        size += 1
    return points[:count]


def _product(roots):
    """Coefficients of prod (x - root), the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [a - root * b for a, b in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _matrices(m, r):
    """A^T (m, n), G (n, r), B^T (n, n) with n = m + r - 1, as fractions (Toom and Cook, with a point at infinity)."""
    n = m + r - 1
    points = _points(n - 1)
    at = [[point**i for point in points] + [Fraction(int(i == m - 1))] for i in range(m)]
    g, bt = [], []
    for point in points:
        others = [other for other in points if other != point]
        scale = np.prod([point - other for other in others], initial=Fraction(1), dtype=object)
        g.append([point**k / scale for k in range(r)])
        bt.append([*_product(others), Fraction(0)])
    g.append([Fraction(int(k == r - 1)) for k in range(r)])
    bt.append(_product(points))
    # A row of B^T and its partner may change sign together; published tables keep G's first row positive.
    if g[0][0] < 0:
        g[0], bt[0] = [-v for v in g[0]], [-v for v in bt[0]]
        bt[-1] = [-v for v in bt[-1]]
        for row in at:
            row[-1] = -row[-1]
    return at, g, bt


def winograd(m, r, d=None, g=None):
    """The algorithm F(m x m, r x r): y = A^T [(G g G^T) * (B^T d B)] A.

    A. Lavin, S. Gray. Fast algorithms for convolutional neural networks. 2016, equations 6 to 8.

    Parameters
    ----------
    m, r : int, outputs of a tile and taps of the kernel along one axis
    d : array (m+r-1, m+r-1), optional
        A tile to work through; arange unless given.
    g : array (r, r), optional
        A kernel; arange unless given.

    Returns
    -------
    Page
        `.BT`, `.G`, `.AT` float64; `.multiplications`, `.direct` and `.saving` in two dimensions, `.multiplications_1d`
        and `.direct_1d` in one; `.y` of the example, `.y_direct` by `F.conv2d`.
    """
    m, r = whole(m, "m", 1), whole(r, "r", 1)
    n = m + r - 1
    if n > 12:
        raise ValueError(f"m + r - 1 must be at most 12, got {n}: larger tiles lose all accuracy")
    at, gg, bt = (np.array(matrix, object).reshape(-1, len(matrix[0])) for matrix in _matrices(m, r))
    d = np.arange(n * n, dtype=np.float64).reshape(n, n) if d is None else np.asarray(d, np.float64)
    g = np.arange(r * r, dtype=np.float64).reshape(r, r) if g is None else np.asarray(g, np.float64)
    if d.shape != (n, n) or g.shape != (r, r):
        raise ValueError(f"d must have shape {(n, n)} and g {(r, r)}, got {d.shape} and {g.shape}")
    floats = {name: matrix.astype(np.float64) for name, matrix in (("AT", at), ("G", gg), ("BT", bt))}
    u, v = floats["G"] @ g @ floats["G"].T, floats["BT"] @ d @ floats["BT"].T
    y = floats["AT"] @ (u * v) @ floats["AT"].T
    page = Page(
        f"Winograd F({m}x{m}, {r}x{r})", **floats,
        multiplications=n * n, direct=m * m * r * r, saving=m * m * r * r / (n * n),
        multiplications_1d=n, direct_1d=m * r, u=u, v=v, y=y,
        y_direct=F.conv2d(d[None, None], g[None, None], algo="reference")[0, 0],
    )  # fmt: skip
    page.add_formula(
        "y = A^T [(G g G^T) * (B^T d B)] A",
        r"y = A^{\mathsf T}\left[(G g G^{\mathsf T}) \odot (B^{\mathsf T} d B)\right] A",
    )
    for name, matrix in (("B^T", bt), ("G", gg), ("A^T", at)):
        page.add_matrix(name, np.vectorize(str, otypes=[object])(matrix))
    page.add_paragraph(
        f"A tile of {m}x{m} outputs takes {n}x{n} = {n * n} multiplications instead of {m * m}*{r * r} = {m * m * r * r}: "
        f"{page.saving:.4g} times fewer. In one dimension {n} instead of {m * r}. The transforms are additions and "
        "constants, done once a tile and channel, so they pay off when there are many channels."
    )
    page.add_matrix("d", d).add_matrix("g", g).add_matrix("G g G^T", u).add_matrix("B^T d B", v).add_matrix("y", y)
    return page.add_matrix("direct", page.y_direct)
