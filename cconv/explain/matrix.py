"""Convolution as a matrix: the affine (Toeplitz) map, its transpose, and im2col."""

import numpy as np

from cconv import functional as F
from cconv.explain.page import Explained, Page, number
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
    array([27., 37., 57., 67.])
    """
    weight = _full(weight)
    rank = weight.ndim - 2
    if isinstance(input_size, (tuple, list)) and len(input_size) != rank:
        raise ValueError(
            f"input_size must have as many axes as the kernel, {_by(weight.shape[2:])}; got {_by(input_size)}"
        )
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
    dy : array of the output's shape, optional; all ones unless given, which asks for the gradient of the outputs' sum

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
        raise ValueError(
            f"x must have {rank} axes as the kernel, or {rank + 1} with channels: the kernel is {_by(weight.shape[2:])}, "
            f"x has shape {x.shape}"
        )
    matrix = np.asarray(affine_matrix(weight, x.shape[1:], stride, padding, dilation, groups))
    options = stride, padding, dilation, groups
    y = _CONVOLUTIONS[rank](x[None], weight, None, *options, algo="reference")[0]
    dy = np.ones_like(y) if dy is None else np.asarray(dy, np.float64)
    if dy.shape not in (y.shape, y.shape[1:] if len(y) == 1 else y.shape):
        raise ValueError(f"dy must have the shape of the output, {_by(y.shape[1:])}, got shape {dy.shape}")
    dy = dy.reshape(y.shape)
    backward = {1: F.conv1d_backward_data, 2: F.conv2d_backward_data, 3: F.conv3d_backward_data}[rank]
    dx = backward(dy[None], weight, x.shape[1:], *options, algo="reference")[0]
    by_matrix = (matrix.T @ dy.ravel()).reshape(x.shape)
    page = Page("Backward is the transpose of forward", matrix=matrix, y=y, dy=dy, dx=dx, dx_by_matrix=by_matrix)
    page.add_paragraph(
        f"Forward. The kernel w lies on the input wherever it fits; its weights times the {matrix.shape[1]} inputs, summed, are "
        f"{'the one output' if len(matrix) == 1 else f'the {len(matrix)} outputs'}. So the layer is a matrix C with a row for each output and a column for each input, both read "
        "row by row:"
    )
    page.add_matrix("x", x).add_matrix("w", weight)
    _add_large(page, "C", matrix)
    page.add_formula("y = C x", r"y = C\,x").add_matrix("y", y)
    _add_sum(page, "y", matrix, x, y)
    page.add_paragraph(
        "Backward. dy says how much the loss grows with each output. Input j entered output i with the weight C[i,j], so the loss "
        "grows with input j by C[i,j] dy[i], summed over the outputs i it entered: that is column j of C, which is row j of the "
        "transpose."
    )
    page.add_matrix("dy", dy)
    _add_large(page, "C^T", matrix.T)
    page.add_formula("dx = C^T dy", r"dx = C^{\mathsf T} dy").add_matrix("dx", by_matrix)
    _add_sum(page, "dx", matrix.T, dy, by_matrix)
    page.add_paragraph("The backward pass of the layer, which never makes the matrix, gives:")
    return page.add_matrix("dx", dx)


def _add_large(page, name, matrix):
    """The matrix, or its shape where it would fill screens."""
    if matrix.size <= 4096:
        return page.add_matrix(name, matrix)
    return page.add_paragraph(f"({name} is {_by(matrix.shape)}: too large to print.)")


def _add_sum(page, name, matrix, vector, result):
    """One product of the matrix with a vector written out: that of the first row with the most weights."""
    row = int(np.argmax(np.count_nonzero(matrix, axis=1)))
    used = np.flatnonzero(matrix[row])
    if 0 < len(used) <= 12:
        place = np.unravel_index(row, result.shape)[1 if len(result) == 1 else 0 :]
        terms = [f"{_signed(matrix[row, i])}*{_signed(vector.ravel()[i])}" for i in used]
        text = f"{name}[{','.join(map(str, place))}] = {' + '.join(terms)} = {number(result.ravel()[row])}"
        page.add_formula(text, text.replace("*", r" \cdot "))


def _signed(value):
    return f"({number(value)})" if value < 0 else number(value)


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
