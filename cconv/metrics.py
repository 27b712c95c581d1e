"""How good outputs are: functions `f(outputs, target)`, for `Model(metrics=...)` or by themselves.

`outputs` are logits or probabilities (N, classes), `target` class numbers (N,), or probabilities (N, classes) whose
largest one counts.
"""

import re

import numpy as np

from cconv.functional._arguments import whole


def _labels(outputs, target):
    outputs, target = np.asarray(outputs), np.asarray(target)
    if outputs.ndim != 2:
        raise ValueError(f"outputs must have shape (N, classes), got {outputs.shape}")
    if target.ndim == 2 and target.shape == outputs.shape:
        target = target.argmax(axis=1)
    if target.shape != outputs.shape[:1]:
        raise ValueError(f"target must have shape {outputs.shape[:1]} or {outputs.shape}, got {target.shape}")
    return outputs, target


def accuracy(outputs, target):
    """Share of samples whose largest output is their class's."""
    outputs, target = _labels(outputs, target)
    return float(np.count_nonzero(outputs.argmax(axis=1) == target) / max(len(target), 1))


def top_k_accuracy(outputs, target, k=5):
    """Share of samples with fewer than `k` outputs above their class's."""
    outputs, target = _labels(outputs, target)
    own = outputs[np.arange(len(target)), target]
    # A NaN is above everything: it must not count as a hit.
    above = np.count_nonzero(~(outputs <= own[:, None]), axis=1)
    return float(np.count_nonzero(above < whole(k, "k", 1)) / max(len(target), 1))


def confusion_matrix(outputs, target, num_classes=None):
    """Numbers of samples by class (rows) and by prediction (columns).

    Parameters
    ----------
    outputs : array (N, classes), or predicted class numbers (N,)
    target : array of class numbers (N,)
    num_classes : int, optional
        The number of outputs, or one more than the largest number met.

    Returns
    -------
    ndarray (num_classes, num_classes), int64
    """
    outputs, target = np.asarray(outputs), np.asarray(target)
    if outputs.ndim == 2:
        num_classes = outputs.shape[1] if num_classes is None else num_classes
        outputs = outputs.argmax(axis=1)
    if outputs.shape != target.shape or target.ndim != 1:
        raise ValueError(f"outputs and target must have the same length, got shapes {outputs.shape} and {target.shape}")
    if num_classes is None:
        num_classes = int(max(outputs.max(initial=-1), target.max(initial=-1))) + 1
    num_classes = whole(num_classes, "num_classes", 0)
    for name, labels in (("outputs", outputs), ("target", target)):
        if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
            raise ValueError(f"{name} has classes {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}")
    counts = np.bincount(target.astype(np.int64) * num_classes + outputs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def named(metrics):
    """name -> function, for a sequence of functions and of the names "accuracy" and "top5_accuracy" (any number).

    Raises
    ------
    ValueError
        For other names.
    """
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    found = {}
    for metric in metrics:
        if callable(metric):
            found[metric.__name__] = metric
        elif metric == "accuracy":
            found[metric] = accuracy
        elif isinstance(metric, str) and (match := re.fullmatch(r"top([1-9]\d*)_accuracy", metric)):
            found[metric] = _top(int(match[1]))
        else:
            raise ValueError(f"metrics must be 'accuracy', 'top5_accuracy' or functions, got {metric!r}")
    return found


def _top(k):
    return lambda outputs, target: top_k_accuracy(outputs, target, k)
