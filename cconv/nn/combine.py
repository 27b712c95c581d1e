"""Layers made of layers: a network is an expression of Sequential, Sum and Concat."""

from collections.abc import Mapping

import numpy as np

from cconv import _runtime
from cconv.functional._arguments import copy_into, is_channels_last, whole
from cconv.functional.activation import added
from cconv.nn.base import Layer


class Container(Layer):
    """Ordered named sub-layers, reached by position, name or attribute.

    Parameters
    ----------
    *layers : Layer, or one sequence of them, or one dict name -> Layer
        Without names they are called "0", "1", ..., as in torch. A name that begins with an underscore is
        left out of the keys of state_dict.

    Raises
    ------
    TypeError
        Where something is not a Layer, or a name is not a string.
    ValueError
        For a name that is empty, contains a dot or hides an attribute.
    """

    def __init__(self, *layers):
        self._layers = {}
        self._constructed_with = None
        if len(layers) == 1 and not isinstance(layers[0], Layer):
            (layers,) = layers
        if isinstance(layers, Mapping):
            named = layers.items()
        elif isinstance(layers, (tuple, list)):
            named = ((str(i), layer) for i, layer in enumerate(layers))
        else:
            raise TypeError(f"{type(self).__name__} is made of layers, got {type(layers).__name__}")
        for name, layer in named:
            self._insert(name, layer)

    def _insert(self, name, layer):
        if not isinstance(name, str):
            raise TypeError(f"a layer's name must be a string, got {name!r}")
        if not name or "." in name or hasattr(type(self), name) or name in self.__dict__:
            raise ValueError(f"{name!r} cannot name a layer of {type(self).__name__}")
        if not isinstance(layer, Layer):
            raise TypeError(f"{type(self).__name__} is made of layers; {name!r} is {type(layer).__name__}")
        self._layers[name] = layer

    def constructor_arguments(self):
        # What it holds now: layers may have been appended or replaced.
        return (dict(self._layers),), {}

    def named_children(self):
        return iter(self._layers.items())

    def append(self, layer, name=None):
        """Add `layer` at the end, called by its position unless named; returns self."""
        name = str(len(self)) if name is None else name
        if name in self._layers:
            raise ValueError(f"{type(self).__name__} has a layer {name!r} already")
        self._insert(name, layer)
        return self

    def _name_of(self, key):
        if isinstance(key, str):
            if key not in self._layers:
                raise KeyError(f"no layer {key!r}; there are {', '.join(self._layers) or 'none'}")
            return key
        position = whole(key, "index")
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} is out of range for {len(self)} layers")
        return list(self._layers)[position]

    def __len__(self):
        return len(self._layers)

    def __iter__(self):
        return iter(self._layers.values())

    def __bool__(self):
        return True

    def __getitem__(self, key):
        if isinstance(key, slice):
            return Sequential(dict(list(self._layers.items())[key]))
        return self._layers[self._name_of(key)]

    def __setitem__(self, key, layer):
        self._insert(self._name_of(key), layer)

    def __getattr__(self, name):
        layer = self.__dict__.get("_layers", {}).get(name)
        if layer is None:
            raise AttributeError(f"{type(self).__name__} has no attribute or layer {name!r}")
        return layer

    def __setattr__(self, name, value):
        if name in self.__dict__.get("_layers", ()) or isinstance(value, Layer):
            self._insert(name, value)
        else:
            super().__setattr__(name, value)

    def walk(self, input_shape):
        """(name, layer, its input shape) of each direct sub-layer, for an input of `input_shape`."""
        return [(name, layer, tuple(input_shape)) for name, layer in self._layers.items()]

    def macs(self, input_shape):
        return sum(layer.macs(shape) for _, layer, shape in self.walk(input_shape))


class Sequential(Container):
    """One layer after the other; `Sequential()` is the identity.

    Examples
    --------
    >>> net = Sequential(Conv2d(1, 6, 5), ReLU(), Flatten(), Linear(3456, 10))
    >>> net = Sequential({"conv1": Conv2d(1, 6, 5), "relu1": ReLU()})      # keys conv1.weight, conv1.bias
    """

    @property
    def takes_out(self):
        return bool(self._layers) and self[-1].takes_out

    def forward(self, x, train, out=None):
        if not self._layers:
            return x, lambda dy, need_dx=True: dy
        passes, depth = [], len(self)
        for layer in self:
            last = out is not None and len(passes) == depth - 1
            x, layer_backward = layer.forward(x, train, out) if last else layer.forward(x, train)
            passes.append(layer_backward)

        def backward(dy, need_dx=True, onto=None):
            if len(passes) != depth:
                raise RuntimeError("backward was called before; it releases what it has used")
            # Nobody reads the gradient of data, nor of what layers without weights make of it.
            last = 0 if need_dx else self._first_trained()
            # As in run_backward.
            handed = [dy]
            del dy
            while len(passes) > last + 1:
                handed.append(passes.pop()(handed.pop()))
            return run_backward(passes.pop(), handed.pop(), need_dx, onto)

        return x, backward

    def _first_trained(self):
        """Position of the first layer with parameters, 0 where there is none."""
        for position, layer in enumerate(self):
            if next(layer.parameters(), None) is not None:
                return position
        return 0

    def __call__(self, x):
        for layer in self:
            x = layer(x)
        return x

    def walk(self, input_shape):
        steps, shape = [], tuple(input_shape)
        for name, layer in self._layers.items():
            steps.append((name, layer, shape))
            shape = layer.output_shape(shape)
        return steps

    def output_shape(self, input_shape):
        shape = tuple(input_shape)
        for layer in self:
            shape = layer.output_shape(shape)
        return shape


class _Branches(Container):
    """Layers that all see the same input. A subclass says how outputs merge and how dy splits."""

    def __init__(self, *branches):
        super().__init__(*branches)
        if not self._layers:
            raise ValueError(f"{type(self).__name__} needs at least one branch")

    def forward(self, x, train):
        outputs, passes = zip(*[branch.forward(x, train) for branch in self], strict=True)
        return self._merge(outputs), self._backward([output.shape for output in outputs], passes)

    def _backward(self, shapes, passes):
        def backward(dy, need_dx=True):
            parts, dx = self._split(dy, shapes), None
            # A shortcut or pooling branch comes last; the convolution that begins the others adds to its gradient.
            for one, part in zip(reversed(passes), reversed(parts), strict=True):
                dx = run_backward(one, part, need_dx, dx)
            return dx

        return backward

    def __call__(self, x):
        return self._merge([branch(x) for branch in self])

    def _shapes(self, input_shape):
        return [branch.output_shape(input_shape) for branch in self]


class Sum(_Branches):
    """The sum of its branches, as in the residual block of He et al. 2015; an empty Sequential is the
    identity shortcut: `Sum(body, Sequential())`."""

    def _merge(self, outputs):
        _same_shapes([output.shape for output in outputs])
        return total(outputs)

    def _split(self, dy, shapes):
        return [dy] * len(shapes)

    def output_shape(self, input_shape):
        return _same_shapes(self._shapes(input_shape))


class Concat(_Branches):
    """Its branches side by side along `axis`, as in the Inception block of Szegedy et al. 2014.

    Parameters
    ----------
    *branches : as in `Sequential`
    axis : int, 1 (channels) unless told
    """

    def __init__(self, *branches, axis=1):
        super().__init__(*branches)
        self.axis = whole(axis, "axis", 1)

    def constructor_arguments(self):
        return (dict(self._layers),), {"axis": self.axis}

    def extra_repr(self):
        return "" if self.axis == 1 else f"axis={self.axis}"

    def _merge(self, outputs):
        shapes = [output.shape for output in outputs]
        y = _empty(self._joined(shapes), outputs)
        for place, output in zip(self._split(y, shapes), outputs, strict=True):
            copy_into(place, output)
        return y

    def _split(self, dy, shapes):
        return np.split(dy, np.cumsum([shape[self.axis] for shape in shapes])[:-1], axis=self.axis)

    def output_shape(self, input_shape):
        return self._joined(self._shapes(input_shape))

    def _joined(self, shapes):
        axis = self.axis
        if len({shape[:axis] + shape[axis + 1 :] for shape in shapes}) > 1 or axis >= len(shapes[0]):
            raise ValueError(f"Concat: branch outputs {shapes} cannot be joined along axis {axis}")
        return shapes[0][:axis] + (sum(shape[axis] for shape in shapes),) + shapes[0][axis + 1 :]


def run_backward(backward, dy, need_dx, onto=None):
    """Call a layer's `backward` for dx + onto; `need_dx=False` and `onto` are passed on where they are understood."""
    # No name stands for dy meanwhile, so that the layer may free it.
    handed = [dy]
    del dy
    if not need_dx:
        if _accepts(backward, "need_dx"):
            backward(handed.pop(), False)
        else:
            backward(handed.pop())
        return None
    if onto is None:
        return backward(handed.pop())
    if _accepts(backward, "onto"):
        return backward(handed.pop(), onto=onto)
    return total([backward(handed.pop()), onto])


def _accepts(backward, name):
    code = getattr(backward, "__code__", None)
    return code is not None and name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _same_shapes(shapes):
    if len(set(shapes)) > 1:
        raise ValueError(f"Sum: branch outputs differ in shape: {', '.join(map(str, shapes))}")
    return shapes[0]


def total(arrays):
    """The sum of `arrays` in a new array of their memory order; a single one passes through."""
    if len(arrays) == 1:
        return arrays[0]
    total = added(arrays[0], arrays[1])
    for array in arrays[2:]:
        total = added(total, array)
    return total


def _empty(shape, arrays):
    return _runtime.empty(shape, np.result_type(*arrays), any(map(is_channels_last, arrays)))
