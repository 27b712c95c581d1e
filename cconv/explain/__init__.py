"""Convolution explained on your own layer and numbers: as text, Markdown, LaTeX and NumPy arrays.

Every function returns a `Page` (or an array that carries one as `.page`): `print` it, let a notebook show it, call
`.markdown()` or `.latex()`, or take its values. All numbers come from the kernels that also train networks.
"""

# ruff: noqa: F401
from cconv.explain.backward import backward, residual
from cconv.explain.cost import complexity
from cconv.explain.kinds import (
    commutativity,
    convolution_or_correlation,
    depth_to,
    fractional_stride,
    output_shape,
    same_padding,
    transposed,
)
from cconv.explain.matrix import affine_matrix, affine_symbols, im2col, transpose
from cconv.explain.page import Explained, Page
from cconv.explain.training import gradient_flow, train_step
from cconv.explain.winograd import winograd
