"""Pictures of training and of networks: matplotlib figures that are returned, never shown by themselves.

Every function returns a `matplotlib.figure.Figure`; notebooks display it, `figure.savefig(path)` writes it. They need
`pip install cconv[plot]`.
"""

import math

import numpy as np

from cconv import nn
from cconv.functional._arguments import whole


def _figure(width, height):
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install cconv[plot]") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _grid(count, most_columns=8, side=1.3):
    """A figure with `count` small square axes without ticks."""
    columns = max(1, min(count, most_columns))
    rows = max(1, math.ceil(count / columns))
    figure = _figure(side * columns + 0.3, side * rows + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one in axes:
        one.set_axis_off()
    return figure, axes[:count]


def _picture(image):
    """(C, H, W) as matplotlib takes it, stretched to 0 to 1; grey unless it has three channels."""
    image = np.asarray(image, np.float64)
    if image.dtype.kind != "f" or image.ndim != 3:
        raise ValueError(f"an image must have shape (C, H, W), got {image.shape}")
    low, high = image.min(initial=np.inf), image.max(initial=-np.inf)
    image = (image - low) / (high - low) if high > low else np.zeros_like(image)
    return np.moveaxis(image, 0, -1) if len(image) == 3 else image.mean(axis=0)


def _names(classes, count):
    if classes is None:
        return [str(index) for index in range(count)]
    if len(classes) < count:
        raise ValueError(f"classes must name all {count} classes, got {len(classes)}")
    return [str(name) for name in classes]


def learning_curves(history):
    """Loss and metrics over the epochs, training and validation in one diagram each.

    Parameters
    ----------
    history : History, or dict of name -> list of floats
    """
    values = getattr(history, "history", history)
    names = [name for name in values if not name.startswith("val_")]
    if not names:
        raise ValueError("history has no epochs")
    figure = _figure(3.4 * len(names), 2.9)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if key in values:
                axes.plot(range(1, len(values[key]) + 1), values[key], marker=".", label=label)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def filters(layer, most=64):
    """The kernels of a convolution: in colour where it reads three channels, else the mean over input channels.

    Parameters
    ----------
    layer : nn.Conv2d, or a network whose first Conv2d is meant
    most : int, kernels shown
    """
    conv = next((one for _, one in layer.named_layers() if isinstance(one, nn.Conv2d)), None)
    if conv is None:
        raise ValueError(f"{type(layer).__name__} has no Conv2d")
    weight = conv.weight.data[: whole(most, "most", 1)]
    figure, axes = _grid(len(weight))
    for one, kernel in zip(axes, weight, strict=True):
        one.imshow(_picture(kernel), cmap="gray", interpolation="nearest")
    figure.suptitle(f"{conv.out_channels} kernels of {conv.kernel_size[0]}x{conv.kernel_size[1]}")
    return figure


def activations(net, x, most=16):
    """The first `most` channels behind every layer of a Sequential, for one image.

    Parameters
    ----------
    net : nn.Sequential
    x : array (C, H, W)
    most : int
    """
    x = np.asarray(x)[None]
    if not isinstance(net, nn.Sequential):
        raise TypeError(f"net must be a Sequential, got {type(net).__name__}")
    shown = []
    for name, layer in net.named_children():
        x = layer(x)
        if x.ndim == 4:
            shown.append((f"{name} {type(layer).__name__}", x[0, : whole(most, "most", 1)].copy()))
    if not shown:
        raise ValueError("no layer of net gives images")
    figure = _figure(0.7 * max(len(maps) for _, maps in shown) + 0.5, 0.95 * len(shown) + 0.3)
    rows = figure.subplots(len(shown), max(len(maps) for _, maps in shown), squeeze=False)
    for row, (title, maps) in zip(rows, shown, strict=True):
        for one in row:
            one.set_axis_off()
        for one, channel in zip(row, maps, strict=False):
            one.imshow(_picture(channel[None]), cmap="gray", interpolation="nearest")
        row[0].set_title(title, loc="left", fontsize=9)
    return figure


def confusion(matrix, classes=None):
    """A confusion matrix (`cconv.metrics.confusion_matrix`) with its counts; colours are shares of a class.

    Parameters
    ----------
    matrix : array (K, K), rows are true classes
    classes : sequence of names, optional
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must have shape (K, K), got {matrix.shape}")
    count = len(matrix)
    names = _names(classes, count)
    figure = _figure(0.4 * count + 1.2, 0.4 * count + 1)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(count), names, rotation=45, ha="right")
    axes.set_yticks(range(count), names)
    axes.set(xlabel="predicted", ylabel="true")
    if count <= 20:
        for row, column in np.ndindex(matrix.shape):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=9)
    return figure


def misclassified(x, y, outputs, classes=None, most=32):
    """The images that the network gets wrong, the surest mistakes first, with "predicted (true)".

    Parameters
    ----------
    x : array (N, C, H, W)
    y : array (N,) of class numbers
    outputs : array (N, K), as `Model.predict` gives
    classes : sequence of names, optional
    most : int
    """
    x, y, outputs = np.asarray(x), np.asarray(y), np.asarray(outputs)
    if outputs.ndim != 2 or not len(x) == len(y) == len(outputs):
        raise ValueError(f"x, y and outputs must have the same length, got {x.shape}, {y.shape}, {outputs.shape}")
    names = _names(classes, outputs.shape[1])
    predicted = outputs.argmax(axis=1)
    wrong = np.flatnonzero(predicted != y)
    margin = outputs[wrong, predicted[wrong]] - outputs[wrong, y[wrong]]
    chosen = wrong[np.argsort(-margin, kind="stable")][: whole(most, "most", 1)]
    figure, axes = _grid(len(chosen), most_columns=5, side=1.4)
    for one, index in zip(axes, chosen, strict=True):
        one.imshow(_picture(x[index]), cmap="gray", interpolation="nearest")
        one.set_title(f"{names[predicted[index]]} ({names[y[index]]})", fontsize=10)
    figure.suptitle(f"{len(wrong)} of {len(y)} wrong")
    return figure


def gradient_flow(model, x, y):
    """The size of every weight's gradient, root mean square, from the first layer to the last.

    Parameters
    ----------
    model : Model; neither its weights nor its running statistics change
    x, y : one batch
    """
    from cconv import explain

    page = explain.gradient_flow(model, x, y)
    flow = list(zip(page.names, page.sizes, strict=True))
    figure = _figure(max(4, 0.25 * len(flow) + 2), 4)
    axes = figure.subplots()
    axes.bar(range(len(flow)), [max(value, 1e-12) for _, value in flow])
    axes.set_yscale("log")
    axes.set_xticks(range(len(flow)), [name for name, _ in flow], rotation=90, fontsize=7)
    axes.set_ylabel("root mean square of the gradient")
    return figure


def _backward(model, x, y):
    outputs, backward = model.net.forward(np.asarray(x).astype(model.dtype), False)
    _, loss_backward = model.loss.forward(outputs, np.asarray(y))
    return backward(loss_backward())


def saliency(model, x, y):
    """How much each pixel moves the loss: the largest size of the gradient over channels, beside the images.

    K. Simonyan, A. Vedaldi, A. Zisserman. Deep inside convolutional networks. 2014, section 3.

    Parameters
    ----------
    model : Model
    x : array (N, C, H, W), a few images
    y : array (N,) of class numbers
    """
    x = np.asarray(x)
    if x.ndim != 4 or not len(x):
        raise ValueError(f"x must have shape (N, C, H, W), got {x.shape}")
    kept = [parameter.grad.copy() for parameter in model.net.parameters()]
    try:
        strength = np.abs(_backward(model, x, y)).max(axis=1, keepdims=True)
    finally:
        for parameter, grad in zip(model.net.parameters(), kept, strict=True):
            parameter.grad = grad
    figure, axes = _grid(2 * len(x), most_columns=len(x))
    for one, image in zip(axes, [*x, *strength], strict=True):
        one.imshow(_picture(image), cmap="gray" if len(image) == 3 else "magma", interpolation="nearest")
    return figure


def roofline(profile):
    """Every layer of a profile under the roof of this machine: the lower of memory speed times intensity and the peak.

    S. Williams, A. Waterman, D. Patterson. Roofline. Communications of the ACM 52(4), 2009.

    Parameters
    ----------
    profile : what `Model.profile` returns
    """
    rows = [row for row in profile if row.flops and row.nbytes and row.seconds]
    if not rows:
        raise ValueError("no layer of the profile multiplies")
    figure = _figure(6, 4.2)
    axes = figure.subplots()
    intensities = [row.flops / row.nbytes for row in rows]
    peaks = profile.peaks
    low, high = min([*intensities, 1]) / 2, max([*intensities, peaks.gflops / peaks.gbytes]) * 4
    corner = peaks.gflops / peaks.gbytes
    axes.plot([low, corner, high], [low * peaks.gbytes, peaks.gflops, peaks.gflops], color="black")
    longest = max(row.seconds for row in rows)
    for row, intensity in zip(rows, intensities, strict=True):
        axes.scatter(intensity, row.gflops, s=20 + 300 * row.seconds / longest, alpha=0.6)
        axes.annotate(
            row.name,
            (intensity, row.gflops),
            fontsize=8,
            ha="center",
            va="top",
            xytext=(0, -10),
            textcoords="offset points",
        )
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s", ymargin=0.12)
    threads = f"{peaks.threads} thread{'s' * (peaks.threads > 1)}"
    axes.set_title(f"{peaks.gflops:.0f} GFLOP/s, {peaks.gbytes:.0f} GB/s, {threads}; areas are times")
    axes.grid(alpha=0.3)
    return figure
