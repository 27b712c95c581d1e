"""What a network is made of: shapes, parameters, multiply-adds and bytes of every layer, without running it."""

import math
from dataclasses import dataclass

from cconv.functional._arguments import spatial, whole
from cconv.nn.base import Layer, dotted
from cconv.nn.combine import Container, Sequential


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes
    ----------
    name : dotted name, as in state_dict
    type : class name
    output_shape : tuple, batch axis included
    params : trainable parameters, shared ones counted where they come first
    macs : multiply-adds, without biases
    activation_bytes : bytes of the output
    receptive_field : input pixels an output sees along each spatial axis, edges ignored; None where outputs
        have no place in the image
    layer : the layer itself
    """

    name: str
    type: str
    output_shape: tuple
    params: int
    macs: int
    activation_bytes: int
    receptive_field: tuple | None
    layer: Layer


class Summary:
    """The rows of a network in the order they run; prints as a table.

    Attributes
    ----------
    rows : list of Row; iterating, indexing and len() go over them
    input_shape : tuple, batch axis included
    params, macs, activation_bytes : totals
    """

    def __init__(self, rows, input_shape):
        self.rows = rows
        self.input_shape = input_shape
        self.params = sum(row.params for row in rows)
        self.macs = sum(row.macs for row in rows)
        self.activation_bytes = sum(row.activation_bytes for row in rows)

    @property
    def connections(self):
        """Links into all units, biases included, as LeCun et al. 1998 count them."""
        biases = sum(math.prod(row.output_shape) for row in self if getattr(row.layer, "bias", None) is not None)
        return self.macs + biases

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def __repr__(self):
        head = ("layer", "type", "output shape", "sees", "parameters", "MACs", "bytes")
        cells = [("input", "", _times(self.input_shape), "", "", "", "")]
        cells += [
            (
                row.name,
                row.type,
                _times(row.output_shape),
                _times(row.receptive_field or ()),
                *_counts(row.params, row.macs, row.activation_bytes),
            )
            for row in self
        ]
        total = ("total", "", "", "", *_counts(self.params, self.macs, self.activation_bytes))
        widths = [max(map(len, column)) for column in zip(head, *cells, total, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [_line(head, widths), rule, *(_line(row, widths) for row in cells), rule, _line(total, widths)]
        return "\n".join(lines)


def summary(net, input_shape, batch_size=1):
    """Walk `net` for images of `input_shape`.

    Parameters
    ----------
    net : nn.Layer
    input_shape : ints, one sample without the batch axis, such as (1, 28, 28)
    batch_size : int

    Returns
    -------
    Summary

    Raises
    ------
    TypeError, ValueError
        Where `input_shape` is not made of positive integers, or a layer does not take what reaches it.
    """
    if not isinstance(net, Layer):
        raise TypeError(f"net must be a Layer, got {type(net).__name__}")
    if not isinstance(input_shape, (tuple, list)):
        raise TypeError(f"input_shape must be that of one sample, such as (1, 28, 28), got {input_shape!r}")
    sample = tuple(whole(n, "input_shape", 1) for n in input_shape)
    shape = (whole(batch_size, "batch_size", 1), *sample)
    itemsize = next((parameter.dtype.itemsize for parameter in net.parameters()), 4)
    rows = _rows("", net, shape, [(1, 1)] * (len(shape) - 2), itemsize, set())
    return Summary(list(rows), shape)


def _rows(name, layer, shape, reach, itemsize, seen):
    """Yield the rows of `layer` and those below it; return its reach, the (receptive field, distance in input
    pixels between neighbours) of its outputs along each spatial axis, or None."""
    reaches, macs, params = [], 0, 0
    if isinstance(layer, Container):
        for child_name, child, child_shape in layer.walk(shape):
            start = reaches[-1] if reaches and isinstance(layer, Sequential) else reach
            full_name = dotted(name, child_name)
            reaches.append((yield from _rows(full_name, child, child_shape, start, itemsize, seen)))
        if isinstance(layer, Sequential):
            return reaches[-1] if reaches else reach
    else:
        macs = layer.macs(shape)
        for parameter in layer.parameters():
            params += 0 if id(parameter) in seen else parameter.size
            seen.add(id(parameter))
    output = tuple(layer.output_shape(shape))
    reach = _widest(reaches) if reaches else _reach(layer, shape, output, reach)
    field = tuple(size for size, _ in reach) if reach else None
    nbytes = math.prod(output) * itemsize
    yield Row(name, type(layer).__name__, output, params, macs, nbytes, field, layer)
    return reach


def _reach(layer, shape, output, reach):
    rank = len(shape) - 2
    kernel = getattr(layer, "kernel_size", None)
    if not reach or len(output) != len(shape) or hasattr(layer, "output_padding"):
        return None
    if kernel is None:
        return reach if output[2:] == shape[2:] else None
    stride = getattr(layer, "stride", None)
    kernel = spatial(kernel, rank, "kernel_size")
    stride = kernel if stride is None else spatial(stride, rank, "stride")
    dilation = spatial(getattr(layer, "dilation", 1), rank, "dilation")
    return [
        (size + (k - 1) * d * step, step * s)
        for (size, step), k, s, d in zip(reach, kernel, stride, dilation, strict=True)
    ]


def _widest(reaches):
    known = [reach for reach in reaches if reach]
    return [max(axis) for axis in zip(*known, strict=True)] if known else None


def _times(shape):
    return " x ".join(map(str, shape))


def _counts(*numbers):
    return tuple(f"{number:,}" for number in numbers)


def _line(cells, widths):
    left = [cell.ljust(width) for cell, width in zip(cells[:4], widths[:4], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[4:], widths[4:], strict=True)]
    return "  ".join(left + right).rstrip()
