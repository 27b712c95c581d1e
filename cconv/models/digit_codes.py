"""Target codes of LeNet-5's RBF output: digits drawn on 7x12 pixels, as in LeCun et al. 1998, figure 3."""

import numpy as np

_WIDTH, _HEIGHT = 7, 12
_DIGITS = (
    "..###.. .#...#. #.....# #.....# #.....# #.....# #.....# #.....# #.....# .#...#. ..###.. .......",
    "...#... ..##... .#.#... ...#... ...#... ...#... ...#... ...#... ...#... ...#... .#####. .......",
    ".#####. #.....# ......# ......# .....#. ....#.. ...#... ..#.... .#..... #...... ####### .......",
    "####### .....#. ....#.. ...#... ..####. ......# ......# ......# ......# #.....# .#####. .......",
    "....##. ...#.#. ..#..#. ..#..#. .#...#. .#...#. #....#. ####### .....#. .....#. .....#. .......",
    "####### #...... #...... #...... ######. ......# ......# ......# ......# #.....# .#####. .......",
    "..####. .#..... #...... #...... #.####. ##....# #.....# #.....# #.....# .#....# ..####. .......",
    "####### ......# .....#. .....#. ....#.. ....#.. ...#... ...#... ..#.... ..#.... ..#.... .......",
    ".#####. #.....# #.....# #.....# .#####. #.....# #.....# #.....# #.....# #.....# .#####. .......",
    ".####.. #....#. #.....# #.....# #.....# #....## .####.# ......# ......# .....#. .####.. .......",
)


def digit_codes(num_classes=10):
    """Codes of the first `num_classes` digits.

    Returns
    -------
    ndarray (num_classes, 84) of float32, +1 where there is ink and -1 elsewhere

    Raises
    ------
    ValueError
        For more than ten classes: only the digits are drawn.
    """
    if not 1 <= num_classes <= len(_DIGITS):
        raise ValueError(f"num_classes must be 1 to {len(_DIGITS)} with digit codes, got {num_classes}")
    rows = [digit.replace(" ", "") for digit in _DIGITS[:num_classes]]
    return np.array([[1 if pixel == "#" else -1 for pixel in row] for row in rows], np.float32)
