"""What a layer is: `forward(x, train) -> (y, backward)`, with `backward(dy, need_dx=True) -> dx`.

A layer keeps parameters and buffers and nothing about a call: the backward closure holds what its pass
needs, so two threads may run one network. No layer modifies an array it was given.
"""

import contextlib
import contextvars

import numpy as np

from cconv import _runtime

_allowance = contextvars.ContextVar("bytes of parameters that may still be made", default=None)


@contextlib.contextmanager
def limited_parameters(nbytes):
    """Within it Parameters of more than `nbytes` together are a ValueError, before their memory is touched.

    A description from an untrusted file must not cost more than the file itself.
    """
    token = _allowance.set(nbytes)
    try:
        yield
    finally:
        _allowance.reset(token)


class Parameter:
    """A trainable array and its gradient.

    Attributes
    ----------
    data : ndarray, the values
    grad : ndarray of the same shape and dtype; backward adds into it
        (while a Model trains a large network it stays as it is, see `cconv.Model`)
    sink : None, or what takes the gradient instead of `grad` while an optimiser updates as backward goes

    Inside a network that was gathered (`gather`), data and grad are views of two flat buffers. A gradient that
    nobody asked for takes no memory.
    """

    __slots__ = ("_data", "_grad", "sink")

    def __init__(self, data):
        left = _allowance.get()
        if left is not None:
            if data.nbytes > left:
                raise ValueError(f"a parameter of {data.nbytes} bytes is larger than its file allows")
            _allowance.set(left - data.nbytes)
        self._data = np.ascontiguousarray(data)
        self._grad = None
        self.sink = None

    @property
    def data(self):
        return self._data

    @data.setter
    def data(self, value):
        self._data[...] = _same_shape(value, self._data)

    @property
    def grad(self):
        if self._grad is None:
            self._grad = np.zeros(self.shape, self.dtype)
        return self._grad

    @grad.setter
    def grad(self, value):
        self.grad[...] = _same_shape(value, self._data)

    @property
    def shape(self):
        return self._data.shape

    @property
    def size(self):
        return self._data.size

    @property
    def dtype(self):
        return self._data.dtype

    def zero_grad(self):
        if self._grad is not None:
            self._grad[...] = 0

    def _rebind(self, data, grad):
        self._data, self._grad = data, grad

    def __repr__(self):
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


class gradients:
    """`with gradients(weight, bias) as (dweight, dbias):` arrays that a backward pass adds into.

    They are the gradients, or zeros that the parameter's sink takes in the end. None stands for no parameter.
    Whatever needs the values of these parameters should be computed before the end.
    """

    __slots__ = ("parameters", "arrays")

    def __init__(self, *parameters):
        self.parameters = parameters

    def __enter__(self):
        self.arrays = [_target(parameter) for parameter in self.parameters]
        return self.arrays

    def __exit__(self, kind, error, traceback):
        for parameter, array in zip(self.parameters, self.arrays, strict=True):
            if kind is None and parameter is not None and parameter.sink is not None:
                parameter.sink.take(array)
        del self.arrays


def _target(parameter):
    if parameter is None:
        return None
    if parameter.sink is None:
        return parameter.grad
    array = _runtime.empty(parameter.shape, parameter.dtype)
    array.fill(0)
    return array


class Buffer:
    """An array that belongs to a layer's state but is not trained, such as a running mean."""

    __slots__ = ("data",)

    def __init__(self, data):
        self.data = np.array(data)

    def __repr__(self):
        return f"Buffer(shape={self.data.shape}, dtype={self.data.dtype})"


def dotted(prefix, name):
    """Name of a sub-layer, parameter or buffer `name` of what is called `prefix`.

    A name that begins with an underscore is left out: it structures a network without showing in the keys of
    its state, so that `Sum` and `Sequential` may stand where another framework has none.
    """
    if name.startswith("_"):
        return prefix
    return f"{prefix}.{name}" if prefix else name


def _same_shape(value, target):
    value = np.asarray(value)
    if value.shape != target.shape:
        raise ValueError(f"value must have shape {target.shape}, got {value.shape}")
    return value


class Layer:
    """Base of all layers. A subclass assigns Parameters, Buffers and Layers as attributes and defines
    `forward`; `output_shape` and `macs` let summaries and plans walk a network without running it."""

    # What cconv.models built this network from, {"name": ..., "arguments": {...}}; None for other layers.
    config = None

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        self._constructed_with = args, kwargs
        return self

    def constructor_arguments(self):
        """(args, kwargs) that build a layer of the same architecture; `nn.describe` writes them down."""
        return self._constructed_with

    def forward(self, x, train):
        """Run the layer on `x`; `train` selects training behaviour (batch statistics, dropout).

        Returns
        -------
        y : ndarray
        backward : callable, `backward(dy, need_dx=True) -> dx`; adds into every `Parameter.grad`. Call it
            once. With `need_dx=False` it may skip dx and return None: nobody reads the gradient of the
            data a network begins with. A backward that takes `onto`, an array like x, returns dx + onto.
        """
        raise TypeError(f"{type(self).__name__} does not define forward")

    # Whether `forward(x, train, out)` exists too: y is then `out`, some channels of an array, where it can write there.
    takes_out = False

    def __call__(self, x):
        """Inference: the output only."""
        return self.forward(x, False)[0]

    def output_shape(self, input_shape):
        """Shape of the output for an input of `input_shape` (batch axis included)."""
        return tuple(input_shape)

    def macs(self, input_shape):
        """Multiply-adds for an input of `input_shape`, without biases (0 for layers without weights)."""
        return 0

    def extra_repr(self):
        """Constructor arguments, as they should show in repr()."""
        return ""

    def named_children(self):
        """(name, layer) pairs of the direct sub-layers."""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value

    def children(self):
        """The direct sub-layers."""
        for _, layer in self.named_children():
            yield layer

    def named_layers(self, prefix=""):
        """(dotted name, layer) of this layer and all below it, depth first; a shared layer comes once."""
        return self._named_layers(prefix, set())

    def _named_layers(self, prefix, seen):
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child._named_layers(dotted(prefix, name), seen)

    def _own(self, kind):
        return ((name, value) for name, value in vars(self).items() if isinstance(value, kind))

    def _named(self, kind):
        seen = set()
        for prefix, layer in self.named_layers():
            for name, value in layer._own(kind):
                if id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def named_parameters(self):
        """(dotted name, Parameter) pairs, torch's names; a shared Parameter comes once."""
        return self._named(Parameter)

    def parameters(self):
        """All Parameters below this layer."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_buffers(self):
        """(dotted name, Buffer) pairs."""
        return self._named(Buffer)

    def zero_grad(self):
        """Set every gradient to zero."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def state_dict(self):
        """Dotted name -> copy of the array, parameters and buffers, with torch's keys.

        Raises
        ------
        ValueError
            Where names that begin with an underscore leave two arrays with one key.
        """
        state = {}
        for prefix, layer in self.named_layers():
            for name, value in layer._own((Parameter, Buffer)):
                key = f"{prefix}.{name}" if prefix else name
                if key in state:
                    raise ValueError(f"two arrays are called {key!r}")
                state[key] = value.data.copy()
        return state

    def load_state_dict(self, state, strict=True):
        """Copy arrays from `state` (dotted name -> array-like) into parameters and buffers.

        Nothing is written unless everything fits.

        Raises
        ------
        ValueError
            Listing missing and unexpected keys (with `strict`) and arrays of another shape.
        """
        own = dict(self.named_parameters()) | dict(self.named_buffers())
        missing = [key for key in own if key not in state]
        unexpected = [key for key in state if key not in own]
        arrays = {key: np.asarray(state[key]) for key in own if key in state}
        wrong = [
            f"{key}: {arrays[key].shape} instead of {own[key].data.shape}"
            for key in arrays
            if arrays[key].shape != own[key].data.shape
        ]
        problems = [f"wrong shape: {', '.join(wrong)}"] if wrong else []
        if strict and missing:
            problems.append(f"missing: {', '.join(missing)}")
        if strict and unexpected:
            problems.append(f"unexpected: {', '.join(unexpected)}")
        if problems:
            raise ValueError(f"state does not fit {type(self).__name__}; " + "; ".join(problems))
        for key, array in arrays.items():
            own[key].data[...] = array

    def astype(self, dtype):
        """Convert parameters and floating buffers to float32 or float64, in place; returns self."""
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype must be float32 or float64, got {dtype}")
        for parameter in self.parameters():
            grad = None if parameter._grad is None else parameter._grad.astype(dtype)
            parameter._rebind(parameter.data.astype(dtype), grad)
        for _, buffer in self.named_buffers():
            if buffer.data.dtype.kind == "f":
                buffer.data = buffer.data.astype(dtype)
        return self

    def __repr__(self):
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ("\n" + "\n".join(lines) + "\n)" if lines else ")")


def gather(layer):
    """Move all parameters of `layer` into one flat array and all gradients into a second one.

    Every `Parameter.data` and `.grad` becomes a view, so that an optimiser, clipping or an all-reduce
    is one call. Values are kept.

    Returns
    -------
    data, grad : ndarray, 1-D, float32 (or float64 after `astype`)
    """
    parameters = list(layer.parameters())
    dtypes = {parameter.dtype for parameter in parameters} or {np.dtype(np.float32)}
    if len(dtypes) > 1:
        raise TypeError(f"parameters must share one dtype, got {sorted(map(str, dtypes))}")
    total = sum(parameter.size for parameter in parameters)
    # Zeros that are never written take no memory.
    data, grad = np.empty(total, *dtypes), np.zeros(total, *dtypes)
    position = 0
    for parameter in parameters:
        part = slice(position, position + parameter.size)
        data[part] = parameter.data.reshape(-1)
        if parameter._grad is not None:
            grad[part] = parameter._grad.reshape(-1)
        parameter._rebind(data[part].reshape(parameter.shape), grad[part].reshape(parameter.shape))
        position += parameter.size
    # The heap would keep the room of the single arrays, which may be as much as the parameters.
    _runtime.trim_heap()
    return data, grad


def is_own(layer):
    """Whether the layer itself is cconv's, not a user's class."""
    return type(layer).__module__.startswith("cconv.")


def adds_once(layer):
    """Whether a backward pass is known to add to every Parameter at most once: all layers below `layer` are
    cconv's own, and none of them, and no Parameter, stands in two places."""
    layers, parameters, todo = set(), set(), [layer]
    while todo:
        layer = todo.pop()
        own = [id(value) for _, value in layer._own(Parameter)]
        if id(layer) in layers or not parameters.isdisjoint(own) or not is_own(layer):
            return False
        layers.add(id(layer))
        parameters.update(own)
        if len(set(own)) < len(own):
            return False
        todo += layer.children()
    return True
