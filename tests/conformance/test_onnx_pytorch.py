"""Modules and expressions that PyTorch exported to ONNX, with the outputs PyTorch had."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the cases are data of the onnx package")

from conformance import onnx_cases
from conformance.onnx_operators import OPERATORS

# Cases of the two suites made of operators that CNNs do not need, by the first such operator.
OTHERS = {
    "Gather",
    "Split",
    "Exp",
    "Clip",
    "Slice",
    "Max",
    "Min",
    "Pow",
    "ReduceMean",
    "ReduceSum",
    "Tile",
    "Sqrt",
    "Sum",
}

CASES = {}
for suite in ("pytorch-converted", "pytorch-operator"):
    for folder in onnx_cases.folders(suite):
        model = onnx_cases.model(folder)
        if not OTHERS & {node.op_type for node in model.graph.node}:
            CASES[f"{suite}-{folder.name.removeprefix('test_')}"] = folder, model


def test_every_case_is_here():
    counts = [sum(name.startswith(suite) for name in CASES) for suite in ("pytorch-converted", "pytorch-operator")]
    assert counts == [77, 20]


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    folder, model = CASES[name]
    for inputs, expected in onnx_cases.data_sets(folder):
        outputs = onnx_cases.run(model, inputs, OPERATORS)
        for got, want in zip(outputs, expected, strict=True):
            assert got.dtype == want.dtype and got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
