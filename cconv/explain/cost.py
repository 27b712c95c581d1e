"""What layers cost in time and space, under every algorithm that fits."""

import math

from cconv import functional as F
from cconv import nn
from cconv.explain.page import Page


def complexity(in_shape, layers):
    """Multiply-adds, weights and feature maps of layers, one by one and in all.

    Weights and maps are separate costs: a 1x1 layer in front shrinks the weights and adds a map.

    Parameters
    ----------
    in_shape : tuple (C, H, W), or (C, L), (C, D, H, W)
    layers : nn.Layer, or sequence of them that run one after the other

    Returns
    -------
    Page
        `.layers` list of dict (name, macs, weights, parameters, map, shape), `.macs`, `.weights` (without biases),
        `.parameters` (with), `.maps` (values in the outputs of all layers), `.weights_and_maps`, and `.algorithms`: for
        each convolution a dict algorithm -> (multiplications, extra bytes in float32).
    """
    layers = [layers] if isinstance(layers, nn.Layer) else list(layers)
    shape = (1, *in_shape)
    rows, algorithms = [], []
    for name, layer, shape_in in _walk(layers, shape):
        out = layer.output_shape(shape_in)
        weights = sum(p.size for key, p in layer.named_parameters() if key.rpartition(".")[2] != "bias")
        rows.append(
            {
                "name": name, "macs": layer.macs(shape_in), "weights": weights,
                "parameters": sum(p.size for p in layer.parameters()), "map": math.prod(out), "shape": out[1:],
            }
        )  # fmt: skip
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            algorithms.append((name, _algorithms(layer, shape_in, out)))
    total = {key: sum(row[key] for row in rows) for key in ("macs", "weights", "parameters", "map")}
    page = Page(
        "What it costs", layers=rows, macs=total["macs"], weights=total["weights"], parameters=total["parameters"],
        maps=total["map"], weights_and_maps=total["weights"] + total["map"], algorithms=dict(algorithms),
    )  # fmt: skip
    page.add_formula(
        "multiply-adds = M^2 K^2 C_in C_out",
        r"\text{time} = M^2 K^2 C_{in} C_{out}, \quad \text{space} = K^2 C_{in} C_{out} + M^2 C_{out}",
    )
    header = ("layer", "output", "multiply-adds", "weights", "with bias", "map")
    table = [
        (r["name"], " x ".join(map(str, r["shape"])), r["macs"], r["weights"], r["parameters"], r["map"]) for r in rows
    ]
    page.add_table(header, [*table, ("in all", "", page.macs, page.weights, page.parameters, page.maps)])
    page.add_paragraph(f"Weights {page.weights:,} and maps {page.maps:,} together: {page.weights_and_maps:,} values.")
    for name, costs in algorithms:
        page.add_paragraph(f"{name} by each algorithm:")
        page.add_table(("algorithm", "multiplications", "extra bytes"), [(key, *value) for key, value in costs.items()])
    return page


def _walk(layers, shape):
    """(name, layer, input shape) of the layers without sub-layers, in a chain."""
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            for step in _walk(layer, shape):
                yield step
                shape = step[1].output_shape(step[2])
        else:
            yield _name(layer), layer, shape
            shape = layer.output_shape(shape)


def _name(layer):
    if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return f"{'x'.join(map(str, layer.kernel_size))} convolution, {layer.in_channels} to {layer.out_channels}"
    return repr(layer)


def _algorithms(conv, shape_in, shape_out):
    """algorithm -> (multiplications, bytes of workspace in float32) for one image."""
    positions = math.prod(shape_out[2:])
    macs = conv.macs(shape_in)
    taps = math.prod(conv.kernel_size)
    columns = 4 * taps * conv.in_channels * positions
    fits = F.conv_algorithms(shape_in, conv.weight.shape, conv.stride, conv.padding, conv.dilation, conv.groups)
    costs = {"sliding window": (macs, 0), "im2col": (macs, columns)}
    if "winograd" in fits and conv.kernel_size == (3, 3):
        for m in (2, 4):
            tiles = math.prod(-(-n // m) for n in shape_out[2:])
            points = (m + 2) ** 2
            channels = conv.in_channels + conv.out_channels
            costs[f"Winograd F({m}x{m}, 3x3)"] = (
                tiles * points * conv.in_channels * conv.out_channels,
                4 * points * (tiles * channels + conv.in_channels * conv.out_channels),
            )
    if set(conv.stride) == {1} and conv.groups == 1:
        # One real transform of n values costs about n/2 log2 n complex multiplications of 3 real ones; each
        # product of two spectra 3 more for half of its values.
        sizes = [
            2 ** math.ceil(math.log2(n + d * (k - 1)))
            for n, k, d in zip(shape_in[2:], conv.kernel_size, conv.dilation, strict=True)
        ]
        n = math.prod(sizes)
        transforms = conv.in_channels + conv.out_channels + conv.in_channels * conv.out_channels
        multiplications = transforms * 3 * n * math.log2(max(n, 2)) / 4 + 1.5 * n * conv.in_channels * conv.out_channels
        costs["FFT"] = (round(multiplications), 4 * n * transforms)
    return costs
