"""The operator cases that the onnx package carries: folders of one model, inputs and expected outputs."""

from pathlib import Path

import onnx
from onnx import helper, numpy_helper

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


def folders(suite):
    return sorted(path for path in (DATA / suite).iterdir() if path.is_dir())


def model(folder):
    return onnx.load(folder / "model.onnx")


def attributes(node):
    """Attributes by name; strings as str, tensors as arrays."""
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for name, value in values.items():
        if isinstance(value, bytes):
            values[name] = value.decode()
        elif isinstance(value, onnx.TensorProto):
            values[name] = numpy_helper.to_array(value)
    return values


def data_sets(folder):
    """(inputs, expected outputs) of every data set of a case, lists of arrays."""
    for data in sorted(folder.glob("test_data_set_*")):
        yield tuple(
            [_tensor(data / f"{kind}_{i}.pb") for i in range(len(list(data.glob(f"{kind}_*.pb"))))]
            for kind in ("input", "output")
        )


def _tensor(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def run(model, inputs, operators):
    """Outputs of the graph by a table operators[op_type](attributes, *inputs) -> output or tuple of outputs."""
    graph = model.graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    names = [v.name for v in graph.input if v.name not in values]
    values.update(zip(names, inputs, strict=True))
    version = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    for node in graph.node:
        arguments = [values[name] if name else None for name in node.input]
        options = {"opset": version, "outputs": len(node.output), **attributes(node)}
        results = operators[node.op_type](options, *arguments)
        results = results if isinstance(results, tuple) else (results,)
        values.update(zip(node.output, results, strict=False))
    return [values[v.name] for v in graph.output]
