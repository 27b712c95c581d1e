"""Convolution as a matrix: the affine (Toeplitz) map, its transpose, and im2col."""

import numpy as np

from cconv import functional as F
from cconv.explain.page import Explained, Page
from cconv.functional._arguments import spatial

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _full(weight):
    """A kernel with output and input channels in front; those given without have one of each."""
    weight = np.asarray(weight, np.float64)
    if weight.ndim in (1, 2):
        return weight[None, None]
    if weight.ndim in (3, 4, 5):
        return weight
    raise ValueError(f"weight must be a kernel, or (O, I, kernel...), got shape {weight.shape}")


def affine_matrix(weight, input_size, stride=1, padding=0, dilation=1, groups=1):
    """The matrix C with vec(conv(x)) = C vec(x): one row an output, one column an input.

    It is made by convolving every unit vector. Its transpose is the backward pass: dx = C^T dy.

    Parameters
    ----------
    weight : array
        A kernel (k,) or (kh, kw), or with channels (O, I/groups, k), (O, I/groups, kh, kw), (O, I/groups, kd, kh, kw).
    input_size : int or tuple, spatial
    stride, padding, dilation, groups : as `F.conv2d`

    Returns
    -------
    ndarray (O*prod(output), I*prod(input)), float64, with `.page`

    Examples
    --------
    >>> explain.affine_matrix([[1, 2], [3, 4]], (3, 3)) @ np.arange(9)
    """
    weight = _full(weight)
    rank = weight.ndim - 2
    sizes = spatial(input_size, rank, "input_size")
    shape = (weight.shape[1] * groups, *sizes)
    count = int(np.prod(shape))
    if count > 4096:
        raise ValueError(f"input_size: a matrix of {count} columns is too large to look at (4096 are allowed)")
    units = np.eye(count).reshape(count, *shape)
    outputs = _CONVOLUTIONS[rank](units, weight, None, stride, padding, dilation, groups, algo="reference")
    matrix = np.ascontiguousarray(outputs.reshape(count, -1).T)
    page = Page("Convolution as an affine map", matrix=matrix, output_shape=outputs.shape[1:])
    page.add_paragraph(
        f"An input of {_by(shape)} has {count} values, the output of {_by(outputs.shape[1:])} has {len(matrix)}: "
        f"the matrix is {len(matrix)} x {count}, and {np.count_nonzero(matrix)} of its {matrix.size} entries are not zero."
    )
    page.add_formula("vec(y) = C vec(x)", r"\mathrm{vec}(y) = C\,\mathrm{vec}(x)").add_matrix("C", matrix)
    page.add_formula("vec(dx) = C^T vec(dy)", r"\mathrm{vec}(dx) = C^{\mathsf T}\,\mathrm{vec}(dy)")
    return Explained(matrix, page)


def affine_symbols(kernel_size, input_size, **options):
    """As `affine_matrix`, with the names w1, w2, ... in place of numbers: an array of strings.

    Parameters
    ----------
    kernel_size, input_size : int or tuple
    """
    rank = max(len(v) if isinstance(v, (tuple, list)) else 1 for v in (kernel_size, input_size))
    kernel = spatial(kernel_size, rank, "kernel_size")
    numbered = affine_matrix(np.arange(1.0, np.prod(kernel) + 1).reshape(kernel), input_size, **options)
    names = np.array(["0", *(f"w{i}" for i in range(1, int(np.prod(kernel)) + 1))], object)
    return names[np.asarray(numbered).astype(int)]


def transpose(weight, x, dy=None, stride=1, padding=0, dilation=1, groups=1):
    """Why backward is the transpose of forward, on one example.

    Parameters
    ----------
    weight, stride, padding, dilation, groups : as `affine_matrix`
    x : array, spatial axes alone or with channels in front
    dy : array of the output's shape, optional; all ones unless given

    Returns
    -------
    Page
        `.matrix`, `.y` by the kernel, `.dx` by the kernel's backward pass, `.dx_by_matrix` = C^T dy.
    """
    weight = _full(weight)
    rank = weight.ndim - 2
    x = np.asarray(x, np.float64)
    x = x[None] if x.ndim == rank else x
    if x.ndim != rank + 1:
        raise ValueError(f"x must have {rank} axes, or {rank + 1} with channels, got shape {x.shape}")
    matrix = np.asarray(affine_matrix(weight, x.shape[1:], stride, padding, dilation, groups))
    options = stride, padding, dilation, groups
    y = _CONVOLUTIONS[rank](x[None], weight, None, *options, algo="reference")[0]
    dy = np.ones_like(y) if dy is None else np.asarray(dy, np.float64).reshape(y.shape)
    backward = {1: F.conv1d_backward_data, 2: F.conv2d_backward_data, 3: F.conv3d_backward_data}[rank]
    dx = backward(dy[None], weight, x.shape[1:], *options, algo="reference")[0]
    by_matrix = (matrix.T @ dy.ravel()).reshape(x.shape)
    page = Page("Backward is the transpose of forward", matrix=matrix, y=y, dy=dy, dx=dx, dx_by_matrix=by_matrix)
    page.add_paragraph("Forward: every output is a row of C times the input.")
    page.add_matrix("x", x).add_matrix("C", matrix).add_matrix("y = C x", y)
    page.add_paragraph(
        "Backward: input j reached output i with the weight C[i,j], so its gradient collects dy[i] C[i,j] over all i: "
        "column j of C times dy. All of them together are C^T dy."
    )
    page.add_matrix("dy", dy).add_matrix("C^T", matrix.T).add_matrix("dx = C^T dy", by_matrix)
    page.add_paragraph("The kernel's backward pass, which never makes the matrix, gives:")
    return page.add_matrix("dx", dx)


def im2col(x, kernel_size, weight=None, stride=1, padding=0, dilation=1):
    """The im2col matrix: a column for every output position, holding the values under the kernel.

    Parameters
    ----------
    x : array (H, W), (C, H, W) or (N, C, H, W)
    kernel_size : int or tuple
    weight : array (O, C, kh, kw), optional; then the product is shown, too
    stride, padding, dilation : as `F.im2col`

    Returns
    -------
    Page
        `.columns` (N, C*kh*kw, positions), `.duplication` values in it over values in x, `.bytes` in float32,
        `.back` = col2im of the columns, and with a weight `.rows` (O, C*kh*kw) and `.product`.
    """
    x = np.asarray(x)
    x = x[(None,) * (4 - x.ndim)] if 2 <= x.ndim <= 4 else x
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    columns = F.im2col(x, kernel_size, stride, padding, dilation)
    back = F.col2im(columns, x.shape[2:], kernel_size, stride, padding, dilation)
    page = Page("im2col", columns=columns, back=back, duplication=columns.size / max(x.size, 1), bytes=4 * columns.size)
    page.add_paragraph(
        f"{_by(x.shape)} becomes {_by(columns.shape)}: {columns.size:,} values instead of {x.size:,}, "
        f"{page.duplication:.2f} times as many, {page.bytes:,} bytes in float32."
    )
    if columns.size <= 1024:
        page.add_matrix("x", x).add_matrix("columns", columns)
        page.add_paragraph("col2im adds the columns back where they came from; it is the adjoint, not the inverse:")
        page.add_matrix("col2im(columns)", back)
    if weight is not None:
        rows = np.asarray(weight, x.dtype).reshape(len(weight), -1)
        page.values |= {"rows": rows, "product": rows @ columns}
        page.add_paragraph(
            f"Weights {_by(rows.shape)} times columns {_by(columns.shape[1:])} give {_by(page.product.shape[1:])}."
        )
        if page.product.size <= 1024:
            page.add_matrix("rows", rows).add_matrix("product", page.product)
    return page


def _by(shape):
    return " x ".join(str(n) for n in shape)
