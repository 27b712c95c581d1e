"""Kinds of convolution: sizes, flipping, and the two ways to enlarge a map."""

import numpy as np

from cconv import functional as F
from cconv.explain.page import Explained, Page
from cconv.functional._arguments import output_sizes, paddings, spatial, whole

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _array(value, name):
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or not 1 <= array.ndim <= 3:
        raise ValueError(
            f"{name} must be an array of numbers with 1 to 3 axes, got {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.float64)


def _conv(x, w, **options):
    return _CONVOLUTIONS[x.ndim](x[None, None], w[None, None], **options)[0, 0]


def _flipped(w):
    """rot180: every axis reversed."""
    return w[(slice(None, None, -1),) * w.ndim]


def output_shape(input_size, kernel_size, stride=1, padding=0, dilation=1):
    """The size of a convolution's output, with the arithmetic.

    Parameters
    ----------
    input_size : int or tuple, spatial
    kernel_size, stride, dilation : int or tuple
    padding : as `F.conv2d`: int, tuple, pairs, "valid", "same", "same_lower", "full"

    Returns
    -------
    Page
        `.shape` tuple, `.padding` the (before, after) pairs, `.kernel` the extents D(K-1)+1.
    """
    rank = max(len(v) if isinstance(v, (tuple, list)) else 1 for v in (input_size, kernel_size, stride, dilation))
    sizes, kernel = spatial(input_size, rank, "input_size", 0), spatial(kernel_size, rank, "kernel_size")
    steps, spread = spatial(stride, rank, "stride"), spatial(dilation, rank, "dilation")
    pairs = paddings(padding, rank, sizes, kernel, steps, spread)
    shape = output_sizes(sizes, kernel, steps, pairs, spread, "output_shape")
    extents = tuple(d * (k - 1) + 1 for k, d in zip(kernel, spread, strict=True))
    page = Page("Size of the output", shape=shape, padding=pairs, kernel=extents)
    page.add_formula(
        "output = floor((n + before + after - (D(K-1)+1)) / S) + 1",
        r"m = \left\lfloor \frac{n + p_0 + p_1 - (D(K-1)+1)}{S} \right\rfloor + 1",
    )
    rows = [
        (axis, n, f"{before} + {after}", k, d, f"{d}*({k}-1)+1 = {extent}", s, m)
        for axis, (n, (before, after), k, d, extent, s, m) in enumerate(
            zip(sizes, pairs, kernel, spread, extents, steps, shape, strict=True)
        )
    ]
    return page.add_table(("axis", "n", "padding", "K", "D", "kernel's extent", "S", "output"), rows)


def depth_to(input_size, kernel_size, target):
    """How many valid convolutions take `input_size` down to `target` or below: each loses kernel_size - 1.

    Returns
    -------
    Page
        `.layers` int, `.sizes` list from the input on.
    """
    n, k = whole(input_size, "input_size", 1), whole(kernel_size, "kernel_size", 2)
    target = whole(target, "target", 1)
    if target > n:
        raise ValueError(f"target must be at most input_size, {n}, which only shrinks; got {target}")
    sizes = [n]
    while sizes[-1] > target and sizes[-1] >= k:
        sizes.append(output_shape(sizes[-1], k).shape[0])
    page = Page("Shrinking with depth", layers=len(sizes) - 1, sizes=sizes)
    page.add_paragraph(
        f"{len(sizes) - 1} layers of {k}x{k} without padding take {n} to {sizes[-1]}: each takes {k - 1} away."
    )
    return page.add_table(("layer", "size"), enumerate(sizes))


def same_padding(kernel_size, dilation=1):
    """The padding that keeps the size at stride 1: D(K-1)/2 on each side, K the size of the kernel, not the number of kernels.

    Returns
    -------
    Page
        `.total`, `.same` = (before, after) with the larger half at the end (TensorFlow, ONNX SAME_UPPER),
        `.same_lower` with it at the start.
    """
    k, d = whole(kernel_size, "kernel_size", 1), whole(dilation, "dilation", 1)
    total = d * (k - 1)
    same, lower = (total // 2, total - total // 2), (total - total // 2, total // 2)
    page = Page("Padding that keeps the size", total=total, same=same, same_lower=lower)
    page.add_formula("P = D(K-1)/2 per side", r"P = \tfrac{D(K-1)}{2}")
    kept = output_shape(total + k + 7, k, padding=(same,), dilation=d).shape[0] if k > 1 else k + 7
    sides = f"{same[0]} before and {same[1]} after"
    if total % 2:
        sides += " ('same') or the other way round ('same_lower'): it is odd, so the two sides cannot be equal"
    page.add_paragraph(f"K = {k}, D = {d}: {total} in total, {sides}. A row of {total + k + 7} stays {kept}.")
    return page


def convolution_or_correlation(x, w):
    """What layers call convolution is correlation: no flip. True convolution turns the kernel by 180 degrees.

    Parameters
    ----------
    x, w : arrays with the same number of axes (1 to 3)

    Returns
    -------
    Page
        `.correlation`, `.convolution`, and by padding `.narrow`, `.wide`, `.same` (all of the correlation).
    """
    x, w = _array(x, "x"), _array(w, "w")
    page = Page(
        "Convolution or correlation",
        correlation=_conv(x, w), convolution=_conv(x, _flipped(w)),
        narrow=_conv(x, w), wide=_conv(x, w, padding="full"), same=_conv(x, w, padding="same"),
    )  # fmt: skip
    page.add_matrix("x", x).add_matrix("w", w).add_matrix("rot180(w)", _flipped(w))
    page.add_formula(
        "correlation: y[i,j] = sum x[i+a, j+b] w[a,b]", r"(w \otimes x)_{ij} = \sum_{ab} x_{i+a,j+b}\, w_{ab}"
    )
    page.add_matrix("correlation", page.correlation)
    page.add_formula("convolution: y[i,j] = sum x[i-a, j-b] w[a,b]", r"(w * x)_{ij} = \sum_{ab} x_{i-a,j-b}\, w_{ab}")
    page.add_matrix("convolution", page.convolution)
    page.add_paragraph("Padding decides the length: narrow M-K+1, equal width M, wide M+K-1.")
    return page.add_matrix("wide", page.wide).add_matrix("equal width", page.same)


def commutativity(x, w):
    """Wide convolution commutes, wide correlation does not.

    Parameters
    ----------
    x, w : arrays with the same number of axes (1 to 3)

    Returns
    -------
    Page
        `.left` = wide correlation of x with rot180(w), `.right` = of w with rot180(x): equal.
        `.correlation_left`, `.correlation_right`: without the flip, each the other's rot180.
    """
    x, w = _array(x, "x"), _array(w, "w")
    page = Page(
        "Wide convolution commutes",
        left=_conv(x, _flipped(w), padding="full"), right=_conv(w, _flipped(x), padding="full"),
        correlation_left=_conv(x, w, padding="full"), correlation_right=_conv(w, x, padding="full"),
    )  # fmt: skip
    page.add_matrix("x", x).add_matrix("w", w)
    page.add_formula(
        "rot180(w) (x) x = rot180(x) (x) w, wide",
        r"\mathrm{rot180}(W)\,\tilde\otimes\,X = \mathrm{rot180}(X)\,\tilde\otimes\,W",
    )
    page.add_matrix("left", page.left).add_matrix("right", page.right)
    page.add_paragraph("Without the flip the two sides differ: each is the other turned by 180 degrees.")
    return page.add_matrix("w (x) x", page.correlation_left).add_matrix("x (x) w", page.correlation_right)


def fractional_stride(z, stride):
    """The map with stride - 1 zeros between its values: a stride of 1/S over it is a transposed convolution.

    Dilation puts zeros into the kernel instead.

    Parameters
    ----------
    z : array with 1 to 3 axes
    stride : int or tuple

    Returns
    -------
    ndarray with `.page`; wide correlation of it with rot180(w) equals the transposed convolution of z with w.
    """
    z = _array(z, "z")
    steps = spatial(stride, z.ndim, "stride")
    stuffed = np.zeros([max(s * (n - 1) + 1, 0) for n, s in zip(z.shape, steps, strict=True)])
    stuffed[tuple(slice(None, None, s) for s in steps)] = z
    page = Page("Fractionally strided convolution", stuffed=stuffed)
    page.add_paragraph(f"{' x '.join(str(s - 1) for s in steps)} zeros between the inputs:")
    page.add_matrix("z", z).add_matrix("stuffed", stuffed)
    return Explained(stuffed, page)


def transposed(z, w, stride=2):
    """Transposed and fractionally strided convolution side by side.

    Parameters
    ----------
    z, w : arrays with the same number of axes (1 to 3)
    stride : int or tuple

    Returns
    -------
    Page
        `.transposed` by `F.conv_transpose*`, `.fractional` by zeros and a wide convolution: equal.
    """
    z, w = _array(z, "z"), _array(w, "w")
    transpose = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[z.ndim]
    stuffed = np.asarray(fractional_stride(z, stride))
    page = Page(
        "Transposed and fractionally strided convolution",
        transposed=transpose(z[None, None], w[None, None], stride=stride)[0, 0],
        fractional=_conv(stuffed, _flipped(w), padding="full"), stuffed=stuffed,
    )  # fmt: skip
    page.add_formula("size = (M-1)S - 2P + D(K-1) + OP + 1", r"(M-1)S - 2P + D(K-1) + OP + 1")
    page.add_matrix("z", z).add_matrix("w", w).add_matrix("transposed", page.transposed)
    page.add_paragraph(
        "Every input lays its multiple of the kernel into the output, S apart. Or: zeros between the inputs,"
    )
    page.add_matrix("stuffed", stuffed).add_paragraph("then an ordinary wide convolution with the turned kernel:")
    return page.add_matrix("fractional", page.fractional)
