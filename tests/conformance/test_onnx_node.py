"""ONNX's own node cases for the operators of CNNs, at 100 times ONNX's tolerance."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the cases are data of the onnx package")

from conformance import onnx_cases, onnx_operators, onnx_optimizers

OPERATORS = onnx_operators.OPERATORS | onnx_optimizers.OPERATORS

# Single-node cases of the pinned onnx version, counted by operator.
COUNTS = {
    "Conv": 6, "ConvTranspose": 11, "MaxPool": 19, "MaxUnpool": 2, "AveragePool": 20, "GlobalAveragePool": 2,
    "GlobalMaxPool": 2, "LRN": 2, "BatchNormalization": 4, "InstanceNormalization": 2, "LayerNormalization": 19,
    "NegativeLogLikelihoodLoss": 18, "GroupNormalization": 2, "Gemm": 11, "Relu": 1, "LeakyRelu": 3, "Softmax": 7,
    "LogSoftmax": 7, "Dropout": 12, "Flatten": 9, "Col2Im": 5, "Concat": 12, "Pad": 6, "SoftmaxCrossEntropyLoss": 34,
}  # fmt: skip
FURTHER = {
    "MatMul": 7, "Add": 8, "Reshape": 10, "Sigmoid": 2, "Tanh": 2, "Elu": 3, "PRelu": 2, "LpPool": 8,
    "MeanVarianceNormalization": 1, "Adagrad": 2, "Adam": 2, "Momentum": 3, "Selu": 3, "Softplus": 2,
    "HardSigmoid": 3, "HardSwish": 1, "Gelu": 4,
}  # fmt: skip

# Cases whose expected values hold what no other implementation can repeat.
RANDOM = {
    name: "the mask is drawn from NumPy's own random stream"
    for name in (
        "test_training_dropout",
        "test_training_dropout_default",
        "test_training_dropout_mask",
        "test_training_dropout_default_mask",
    )
}

ROUNDED = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": "inputs and expected values are written with four digits"
}


def single_node_cases():
    for folder in onnx_cases.folders("node"):
        model = onnx_cases.model(folder)
        if len(model.graph.node) == 1 and model.graph.node[0].op_type in COUNTS | FURTHER:
            yield folder, model


CASES = {folder.name: (folder, model) for folder, model in single_node_cases()}


def test_every_case_is_here():
    counted = Counter(model.graph.node[0].op_type for _, model in CASES.values())
    assert counted == COUNTS | FURTHER
    assert sum(COUNTS.values()) == 216


@pytest.mark.parametrize("name", sorted(CASES.keys() - RANDOM.keys()))
def test_case(name):
    folder, model = CASES[name]
    compared = 0
    for inputs, expected in onnx_cases.data_sets(folder):
        outputs = onnx_cases.run(model, inputs, OPERATORS)
        for got, want in zip(outputs, expected, strict=True):
            assert got.dtype == want.dtype and got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4 if name in ROUNDED else 1e-6)
            compared += 1
    assert compared


@pytest.mark.parametrize("name", RANDOM)
def test_random_case(name):
    """Every output is 0 or x / (1 - p), the mask says which, and about a share p is dropped."""
    folder, model = CASES[name]
    for (x, ratio, _), expected in onnx_cases.data_sets(folder):
        outputs = onnx_cases.run(model, (x, ratio, np.asarray(True)), OPERATORS)
        y, mask = outputs[0], outputs[1] if len(outputs) > 1 else outputs[0] != 0
        np.testing.assert_allclose(y, np.where(mask, x / (1 - ratio), 0), rtol=1e-6)
        assert abs((y == 0).mean() - ratio) < 4 * np.sqrt(ratio * (1 - ratio) / x.size)
        assert [a.shape for a in outputs] == [a.shape for a in expected]
