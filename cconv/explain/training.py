"""One training step written out, and how large gradients are along a network."""

import numpy as np

from cconv import nn
from cconv.explain.page import Page


def train_step(net, x, y, lr=0.1):
    """The eleven steps of training with back-propagation, for one batch, sample by sample; updates `net`.

    Parameters
    ----------
    net : nn.Layer; without batch norm or dropout, which look at more than one sample
    x : array (N, ...)
    y : array (N,) of class numbers
    lr : float

    Returns
    -------
    Page
        `.losses` of the samples, `.loss` their mean, `.gradients` name -> mean gradient over the batch.
    """
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y) or not len(x):
        raise ValueError(f"x and y must have the same length, above 0; got {x.shape} and {y.shape}")
    for name, layer in net.named_layers():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Dropout, nn.Dropout2d)):
            raise ValueError(f"net: {name or type(layer).__name__} does not take samples one by one")
    parameters = dict(net.named_parameters())
    dtype = next(iter(parameters.values())).dtype
    page = Page("One training step")
    page.add_paragraph(
        f"1. Initialised: {sum(p.size for p in parameters.values()):,} weights in {len(parameters)} arrays; learning rate {lr}."
    )
    page.add_paragraph(f"2. The batch: {len(x)} samples of {' x '.join(map(str, x.shape[1:]))}.")
    loss_of, losses, rows = nn.CrossEntropyLoss(), [], []
    sums = {name: np.zeros(p.shape, np.float64) for name, p in parameters.items()}
    for index in range(len(x)):
        net.zero_grad()
        outputs, backward = net.forward(x[index : index + 1].astype(dtype), True)
        loss, loss_backward = loss_of.forward(outputs, y[index : index + 1])
        delta = loss_backward()
        backward(delta)
        for name, p in parameters.items():
            sums[name] += p.grad
        losses.append(float(loss))
        rows.append((index, int(y[index]), int(outputs.argmax()), float(loss), float(np.abs(delta).max())))
    page.add_paragraph(
        "3.-9. For each sample: 3 take it, 4 forward, keeping every layer's output, 5 loss, 6 delta = p - onehot(y) at the "
        "output, 7 delta back through every layer, 8 gradients of the weights, 9 add them to the batch's sum:"
    )
    page.add_table(("sample", "class", "predicted", "loss", "largest delta"), rows)
    gradients = {name: total / len(x) for name, total in sums.items()}
    page.add_paragraph("10. Every weight moves against the mean gradient: w <- w - lr * sum / N.")
    page.add_formula(
        "w <- w - lr/N * sum of gradients", r"w \leftarrow w - \frac{\eta}{N}\sum_n \frac{\partial L_n}{\partial w}"
    )
    moved = []
    for name, p in parameters.items():
        step = (lr * gradients[name]).astype(dtype)
        p.data[...] -= step
        moved.append((name, " x ".join(map(str, p.shape)), _rms(p.data), _rms(step)))
    net.zero_grad()
    page.add_table(("array", "shape", "rms of weights", "rms of step"), moved)
    page.add_paragraph("11. The next batch, until the epochs are over.")
    page.values |= {"losses": losses, "loss": float(np.mean(losses)), "gradients": gradients}
    return page


def gradient_flow(model, x, y):
    """The size of every weight's gradient along a network, on one batch.

    Shortcuts keep the first layers' gradients from fading; compare `models.resnet56(shortcut="A")` with "plain".

    Parameters
    ----------
    model : Model; weights, gradients and running statistics stay as they are
    x, y : one batch

    Returns
    -------
    Page
        `.names`, `.sizes`: root mean squares in the order of the layers. `cconv.plot.gradient_flow` draws them.
    """
    net = model.net
    buffers = {name: b.data.copy() for name, b in net.named_buffers()}
    kept = [p.grad.copy() for p in net.parameters()]
    try:
        net.zero_grad()
        outputs, backward = net.forward(np.asarray(x).astype(model.dtype), True)
        _, loss_backward = model.loss.forward(outputs, np.asarray(y))
        backward(loss_backward())
        flow = [(name, _rms(p.grad)) for name, p in net.named_parameters() if p.data.ndim > 1]
    finally:
        for p, grad in zip(net.parameters(), kept, strict=True):
            p.grad = grad
        for name, b in net.named_buffers():
            b.data[...] = buffers[name]
    page = Page("Gradients along the network", names=[name for name, _ in flow], sizes=[size for _, size in flow])
    return page.add_table(("weights", "root mean square of the gradient"), flow)


def _rms(array):
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0
