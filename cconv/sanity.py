"""Four questions that show a wrong network or a wrong gradient before hours of training do (Stanford's CS231n)."""

import copy
import math
from typing import NamedTuple

import numpy as np

from cconv import optim
from cconv.gradients import gradcheck
from cconv.model import Model
from cconv.nn.loss import CrossEntropyLoss


class Check(NamedTuple):
    """One question: its name, whether the answer is right, and the numbers."""

    name: str
    passed: bool
    detail: str


def initial_loss(net, x, y, classes):
    """With scores that say nothing the loss is ln C; with the network's own first weights it is of that size.

    The last layer's weights are set to zero on a copy, which makes all scores equal and the expected value exact.
    """
    silent = copy.deepcopy(net)
    own = CrossEntropyLoss()(_floats(net(x)), y)
    last = [layer for _, layer in silent.named_layers() if getattr(layer, "weight", None) is not None][-1]
    last.weight.data[...] = 0
    if getattr(last, "bias", None) is not None:
        last.bias.data[...] = 0
    loss, expected = CrossEntropyLoss()(_floats(silent(x)), y), math.log(classes)
    passed = bool(abs(loss - expected) < 1e-4 and math.isfinite(own))
    return Check(
        "initial loss is ln C", passed, f"{loss:.6f}, ln {classes} = {expected:.6f}; with its own weights {own:.4f}"
    )


def gradients(net, x, samples=2):
    """Backward is the derivative of forward."""
    report = gradcheck(net, x, samples=samples)
    worst = report.worst
    at = ", ".join(map(str, worst.index))
    detail = f"{len(report)} arrays; worst {worst.array}[{at}]: {worst.analytic:.6g}, numeric {worst.numeric:.6g}, error {worst.error:.1e}"
    return Check("gradients are the slopes", report.passed, detail)


def overfit(net, x, y, epochs=300, lr=3e-3):
    """Fifty samples can be learnt by heart: accuracy 1.0."""
    model = Model(_without_dropout(net), optimizer=optim.Adam(lr))
    for epoch in range(epochs):
        model.fit(x, y, batch_size=25, epochs=1, rng=epoch, verbose=0)
        result = model.evaluate(x, y)
        if result["accuracy"] == 1.0:
            break
    detail = (
        f"accuracy {result['accuracy']:.2f}, loss {result['loss']:.4f} after {epoch + 1} epochs of {len(x)} samples"
    )
    return Check("fifty samples are learnt by heart", result["accuracy"] == 1.0, detail)


def regularisation(net, x, y, strength=1e-2):
    """A penalty on the weights raises the loss, and its gradient is that of `weight_decay`."""
    net = copy.deepcopy(net)
    plain = CrossEntropyLoss()(_floats(net(x)), y)
    penalty = 0.5 * strength * sum(float(np.sum(np.square(p.data, dtype=np.float64))) for p in net.parameters())
    # A step of gradient descent with weight decay differs from one without by lr * strength * w: the penalty's gradient.
    after = []
    for decay in (0.0, strength):
        other = copy.deepcopy(net)
        optimizer = optim.SGD(0.1, weight_decay=decay)
        optimizer.bind(other)
        before = optimizer.data.copy()
        optimizer.step()
        after.append(before - optimizer.data)
    slope = np.abs((after[1] - after[0]) - 0.1 * strength * before).max() / max(
        0.1 * strength * np.abs(before).max(), 1e-30
    )
    passed = bool(plain + penalty > plain and slope < 1e-3)
    return Check(
        "regularisation raises the loss",
        passed,
        f"{plain:.4f} becomes {plain + penalty:.4f} with strength {strength:g}",
    )


def run(net, x, y, classes, report=lambda check: None):
    """All four on data for `net`; `report` is called after each. The network is not changed.

    Parameters
    ----------
    net : nn.Layer
    x : array (N, ...) of the network's element type, at least 50 samples
    y : array (N,) of class numbers
    classes : int

    Returns
    -------
    list of Check
    """
    x, y = x[:50], y[:50]
    checks = []
    for function, arguments in (
        (initial_loss, (x, y, classes)), (gradients, (x[:2],)), (regularisation, (x, y)), (overfit, (x, y)),
    ):  # fmt: skip
        checks.append(function(copy.deepcopy(net), *arguments))
        report(checks[-1])
    return checks


def _floats(scores):
    return np.asarray(scores, np.float64)


def _without_dropout(net):
    for _, layer in net.named_layers():
        if hasattr(layer, "p") and "Dropout" in type(layer).__name__:
            layer.p = 0.0
    return net
