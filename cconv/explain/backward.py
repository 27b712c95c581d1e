"""Back-propagation by hand, for one layer and the user's own numbers."""

import numpy as np

from cconv import functional as F
from cconv import nn
from cconv.explain.matrix import affine_matrix
from cconv.explain.page import Page

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_LARGEST = 1024


def backward(layer, x, dy=None):
    """Run a layer forward and backward on `x` and write out where its gradients come from.

    The layer's parameters keep their values and gradients; running statistics are put back.

    Parameters
    ----------
    layer : nn.Layer; convolutions, pools, Linear and batch norm get their own rules, others forward and backward only
    x : array, batch and channels included
    dy : array of the output's shape, optional; all ones unless given

    Returns
    -------
    Page
        `.y`, `.dy`, `.dx`, the parameters' gradients as `.dweight`, `.dbias` (those there are); of a small convolution
        `.matrix` (of one image) and `.paths(index)`: for an input unit the (output index, weight) pairs that lead back
        to it.
    """
    if not isinstance(layer, nn.Layer):
        raise TypeError(f"layer must be an nn.Layer, got {type(layer).__name__}")
    parameters = dict(layer.named_parameters())
    dtype = next((p.dtype for p in parameters.values()), np.dtype(np.float64))
    x = np.asarray(x, dtype)
    kept = {name: p.grad.copy() for name, p in parameters.items()}
    buffers = {name: b.data.copy() for name, b in layer.named_buffers()}
    try:
        layer.zero_grad()
        y, run = layer.forward(x, True)
        y = np.array(y)
        dy = np.ones_like(y) if dy is None else np.asarray(dy, y.dtype)
        if dy.shape != y.shape:
            raise ValueError(f"dy must have the output's shape {y.shape}, got {dy.shape}")
        dx = np.array(run(dy))
        gradients = {f"d{name}": p.grad.copy() for name, p in parameters.items()}
    finally:
        for name, p in parameters.items():
            p.grad = kept[name]
        for name, b in layer.named_buffers():
            b.data[...] = buffers[name]
    page = Page(f"Backward through {layer!r}".split("\n")[0], y=y, dy=dy, dx=dx, **gradients)
    _show(page, "x", x)
    _show(page, "y", y)
    _show(page, "dy", dy)
    for kinds, rule in ((_CONVS, _conv), ((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), _max), (_NORMS, _norm)):
        if isinstance(layer, kinds):
            rule(page, layer, x, dy)
    if isinstance(layer, (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)):
        page.add_paragraph("An average pool shares each gradient equally among the positions of its window.")
    if isinstance(layer, nn.Linear):
        page.add_formula(
            "dx = dy W, dW = dy^T x, db = sum of dy", r"dx = dy\,W, \quad dW = dy^{\mathsf T} x, \quad db = \sum_n dy_n"
        )
    _show(page, "dx", dx)
    for name, gradient in gradients.items():
        _show(page, name, gradient)
    return page


def _show(page, name, array):
    if array.size <= _LARGEST:
        page.add_matrix(name, array)


def _conv(page, layer, x, dy):
    weight = layer.weight.data.astype(np.float64)
    turned = weight[(slice(None), slice(None)) + (slice(None, None, -1),) * layer.rank]
    page.add_paragraph(
        "The gradient flows back along the weights it came by: pad dy, turn each kernel by 180 degrees, sum over output channels."
    )
    page.add_formula(
        "dx[i] = sum over o: pad(dy[o]) (x) rot180(w[o,i])",
        r"\delta^{x}_i = \sum_o \mathrm{pad}(\delta^{y}_o) \otimes \mathrm{rot180}(W_{oi})",
    )
    _show(page, "rot180(w)", turned)
    page.add_formula(
        "dw[o,i] = x[i] (x) dy[o], without turning; db[o] = sum of dy[o]",
        r"\partial W_{oi} = X_i \otimes \delta^{y}_o, \quad \partial b_o = \sum \delta^{y}_o",
    )
    sizes = x.shape[2:]
    if layer.in_channels * int(np.prod(sizes)) > 256:
        return
    matrix = np.asarray(affine_matrix(weight, sizes, layer.stride, layer.padding, layer.dilation, layer.groups))
    page.values["matrix"] = matrix
    shape_in, shape_out = x.shape[1:], dy.shape[1:]

    def paths(index):
        column = matrix[:, np.ravel_multi_index(index, shape_in)].reshape(shape_out)
        return [(tuple(int(i) for i in place), float(column[tuple(place)])) for place in np.argwhere(column)]

    page.values["paths"] = paths
    middle = tuple(n // 2 for n in shape_in)
    page.add_paragraph(
        f"Input {middle}, for example, reached these outputs, and collects their gradients times these weights:"
    )
    terms = [
        (str(place), weight_, float(dy[0][place]), weight_ * float(dy[0][place])) for place, weight_ in paths(middle)
    ]
    page.add_table(("output", "weight", "dy", "product"), terms)
    page.add_paragraph(
        f"Their sum is {sum(term[3] for term in terms):.6g}; the kernel says {float(page.dx[0][middle]):.6g}."
    )


def _max(page, layer, x, dy):
    pool = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[x.ndim - 2]
    options = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode
    _, indices = pool(x, *options, return_indices=True)
    page.values["indices"] = indices
    page.add_paragraph(
        "Each maximum remembers where it stood (flat in its plane; of equals the first), and its gradient goes there alone."
    )
    _show(page, "indices", indices)


def _norm(page, layer, x, dy):
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    weight = np.ones(x.shape[1]) if layer.weight is None else layer.weight.data
    ones, zeros = np.ones(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    _, mean, rstd = F.batch_norm_forward(x, ones, zeros, layer.eps)
    xhat = (x - mean.reshape(shape)) * rstd.reshape(shape)
    count = x.size // x.shape[1]
    page.values |= {"mean": mean, "rstd": rstd, "xhat": xhat}
    page.add_formula(
        "xhat = (x - mean) / sqrt(var + eps), y = gamma xhat + beta",
        r"\hat x = \frac{x-\mu}{\sqrt{\sigma^2+\epsilon}}, \quad y = \gamma \hat x + \beta",
    )
    page.add_matrix("mean", mean).add_matrix("1/sqrt(var + eps)", rstd)
    _show(page, "xhat", xhat)
    page.add_formula(
        "dx = gamma rstd / N (N dy - sum dy - xhat sum(dy xhat))",
        r"dx = \frac{\gamma}{N\sigma}\Bigl(N\,dy - \sum dy - \hat x \sum dy\,\hat x\Bigr)",
    )
    by_hand = (weight * rstd / count).reshape(shape) * (
        count * dy - dy.sum(axes, keepdims=True) - xhat * (dy * xhat).sum(axes, keepdims=True)
    )
    page.values["dx_by_hand"] = by_hand
    _show(page, "dx by hand", by_hand)


def residual(branch, x, dy=None):
    """The gradient through y = x + F(x): dx = dy + (dF/dx)^T dy; the 1 of the shortcut carries it past the weights.

    Parameters
    ----------
    branch : nn.Layer, F; its output has the shape of its input
    x : array
    dy : array of x's shape, optional; all ones unless given

    Returns
    -------
    Page
        `.y`, `.dx`, `.through_branch` = (dF/dx)^T dy, `.through_shortcut` = dy.
    """
    inner = backward(branch, x, dy)
    x = np.asarray(x, inner.y.dtype)
    if inner.y.shape != x.shape:
        raise ValueError(f"branch must keep the shape: {x.shape} became {inner.y.shape}")
    page = Page(
        "Gradient of a residual block", y=x + inner.y, dx=inner.dy + inner.dx, through_branch=inner.dx,
        through_shortcut=inner.dy,
    )  # fmt: skip
    page.add_formula(
        "dx = dy + (dF/dx)^T dy",
        r"\frac{\partial \epsilon}{\partial x_l} = \frac{\partial \epsilon}{\partial x_L}\Bigl(1 + \frac{\partial}{\partial x_l}\sum F\Bigr)",
    )
    _show(page, "dy", inner.dy)
    _show(page, "through the branch", inner.dx)
    _show(page, "dx", page.dx)
    size = lambda a: float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))  # noqa: E731
    return page.add_table(
        ("gradient", "root mean square"),
        [("dy, through the shortcut", size(inner.dy)), ("through the branch", size(inner.dx)), ("dx", size(page.dx))],
    )
