"""What a network is made of: shapes, parameters, multiply-adds and bytes of every layer, without running it."""

import math
from dataclasses import dataclass

from cconv.functional._arguments import whole
from cconv.nn.base import Layer
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
    layer : the layer itself
    """

    name: str
    type: str
    output_shape: tuple
    params: int
    macs: int
    activation_bytes: int
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
        head = ("layer", "type", "output shape", "parameters", "MACs", "bytes")
        cells = [("input", "", _times(self.input_shape), "", "", "")]
        cells += [
            (row.name, row.type, _times(row.output_shape), *_counts(row.params, row.macs, row.activation_bytes))
            for row in self
        ]
        total = ("total", "", "", *_counts(self.params, self.macs, self.activation_bytes))
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
    sample = tuple(whole(n, "input_shape", 1) for n in input_shape)
    shape = (whole(batch_size, "batch_size", 1), *sample)
    itemsize = next((parameter.dtype.itemsize for parameter in net.parameters()), 4)
    return Summary(list(_rows("", net, shape, itemsize, set())), shape)


def _rows(name, layer, shape, itemsize, seen):
    macs = 0
    if isinstance(layer, Container):
        for child_name, child, child_shape in layer.walk(shape):
            full_name = f"{name}.{child_name}" if name else child_name
            yield from _rows(full_name, child, child_shape, itemsize, seen)
        if isinstance(layer, Sequential):
            return
        parameters = []
    else:
        macs = layer.macs(shape)
        parameters = layer.parameters()
    params = 0
    for parameter in parameters:
        if id(parameter) not in seen:
            seen.add(id(parameter))
            params += parameter.size
    output = tuple(layer.output_shape(shape))
    nbytes = math.prod(output) * itemsize
    yield Row(name, type(layer).__name__, output, params, macs, nbytes, layer)


def _times(shape):
    return " x ".join(map(str, shape))


def _counts(*numbers):
    return tuple(f"{number:,}" for number in numbers)


def _line(cells, widths):
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(left + right).rstrip()
