"""Metrics against scikit-learn and by hand."""

import numpy as np
import pytest

from cconv.metrics import accuracy, confusion_matrix, named, top_k_accuracy


def sample(count=200, classes=7):
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, classes)), rng.integers(0, classes, count)


def test_against_scikit_learn():
    theirs = pytest.importorskip("sklearn.metrics", reason="scikit-learn's metrics are the oracle")
    outputs, target = sample()
    assert accuracy(outputs, target) == theirs.accuracy_score(target, outputs.argmax(1))
    for k in range(1, 7):
        assert top_k_accuracy(outputs, target, k) == pytest.approx(
            theirs.top_k_accuracy_score(target, outputs, k=k, labels=range(7))
        )
    np.testing.assert_array_equal(confusion_matrix(outputs, target), theirs.confusion_matrix(target, outputs.argmax(1)))


def test_soft_targets_names_and_nan():
    outputs, target = sample()
    assert accuracy(outputs, np.eye(7)[target]) == accuracy(outputs, target)
    functions = named(("accuracy", "top3_accuracy", top_k_accuracy))
    assert list(functions) == ["accuracy", "top3_accuracy", "top_k_accuracy"]
    assert functions["top3_accuracy"](outputs, target) == top_k_accuracy(outputs, target, 3)
    assert top_k_accuracy(np.full((4, 7), np.nan), np.zeros(4, int), 5) == 0
    assert accuracy(np.zeros((0, 3)), np.zeros(0, int)) == 0


@pytest.mark.parametrize(
    "call, word",
    [
        (lambda: accuracy(np.zeros(3), np.zeros(3, int)), "outputs"),
        (lambda: accuracy(np.zeros((3, 2)), np.zeros(4, int)), "target"),
        (lambda: confusion_matrix(np.array([0, 5]), np.array([0, 1]), 3), "outputs"),
        (lambda: confusion_matrix(np.array([0, 1]), np.array([0, -1])), "target"),
        (lambda: named(["top_accuracy"]), "metrics"),
    ],
)
def test_wrong_arguments_are_named(call, word):
    with pytest.raises(ValueError, match=word):
        call()
