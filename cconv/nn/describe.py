"""Architectures as plain JSON values, so that a checkpoint needs no pickle and no import by name.

A layer is {"type": class name, "args": [...], "kwargs": {...}} with the arguments it was built from; layers
among the arguments are described in turn, and a layer that occurs again is {"same": n}, n counting the
layers described so far. A float64 network carries "dtype".
"""

import numpy as np

from cconv.nn.base import Layer

_DEEPEST = 200


def layer_types():
    """Name -> class of every layer in cconv.nn: the fixed table that descriptions are built from."""
    from cconv import nn

    return {name: value for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, Layer)}


def describe(layer):
    """The architecture of `layer` as values that JSON can hold; weights and random seeds are not in it.

    Raises
    ------
    TypeError
        For a layer class outside cconv.nn, or a constructor argument that JSON cannot hold.
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"layer must be a Layer, got {type(layer).__name__}")
    description = _Description(layer_types()).of(layer)
    if any(parameter.dtype == np.float64 for parameter in layer.parameters()):
        description["dtype"] = "float64"
    return description


def build(description):
    """The layer that `describe` described, freshly initialised.

    Raises
    ------
    ValueError
        Where `description` is not one, names an unknown layer, or holds arguments the layer refuses.
    """
    layer = _Builder(layer_types()).layer(description, "network", 0)
    dtype = description.get("dtype", "float32")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"network: dtype must be float32 or float64, got {dtype!r}")
    return layer if dtype == "float32" else layer.astype(dtype)


class _Description:
    def __init__(self, types):
        self.types = types
        self.seen = {}

    def of(self, layer):
        if id(layer) in self.seen:
            return {"same": self.seen[id(layer)]}
        self.seen[id(layer)] = len(self.seen)
        name = type(layer).__name__
        if self.types.get(name) is not type(layer):
            raise TypeError(f"{name} is not a layer of cconv.nn and cannot be described; load its state_dict instead")
        args, kwargs = layer.constructor_arguments()
        description = {"type": name}
        if layer.config is not None:
            description["config"] = self.plain(layer.config, name)
        if args:
            description["args"] = [self.plain(value, name) for value in args]
        if kwargs:
            description["kwargs"] = {key: self.plain(value, name) for key, value in kwargs.items()}
        return description

    def plain(self, value, owner):
        if isinstance(value, Layer):
            return self.of(value)
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.random.Generator):
            return None
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
            return np.dtype(value).name
        if isinstance(value, np.ndarray):
            return value.tolist()
        if isinstance(value, (tuple, list)):
            return [self.plain(item, owner) for item in value]
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"dict": [[key, self.plain(item, owner)] for key, item in value.items()]}
        raise TypeError(f"{owner} was built from {value!r}, which cannot be described")


class _Builder:
    def __init__(self, types):
        self.types = types
        self.built = []

    def layer(self, description, where, depth):
        if depth > _DEEPEST:
            raise ValueError(f"{where}: nested deeper than {_DEEPEST}")
        if not isinstance(description, dict):
            raise ValueError(f"{where}: expected the description of a layer, got {description!r}")  # noqa: TRY004
        if "same" in description:
            return self._again(description["same"], where)
        name = description.get("type")
        if not isinstance(name, str) or name not in self.types:
            raise ValueError(f"{where}: unknown layer type {name!r}")
        args, kwargs = description.get("args", []), description.get("kwargs", {})
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ValueError(f"{where}: args must be a list and kwargs a dict")  # noqa: TRY004
        position = len(self.built)
        self.built.append(None)
        args = [self.value(item, f"{where}.{name}", depth + 1) for item in args]
        kwargs = {key: self.value(item, f"{where}.{name}", depth + 1) for key, item in kwargs.items()}
        try:
            layer = self.types[name](*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {name} refuses its arguments: {error}") from error
        if "config" in description:
            layer.config = self.value(description["config"], where, depth + 1)
        self.built[position] = layer
        return layer

    def _again(self, position, where):
        known = isinstance(position, int) and 0 <= position < len(self.built)
        if not known or self.built[position] is None:
            raise ValueError(f"{where}: no earlier layer {position!r}")
        return self.built[position]

    def value(self, value, where, depth):
        if depth > _DEEPEST:
            raise ValueError(f"{where}: nested deeper than {_DEEPEST}")
        if isinstance(value, list):
            return tuple(self.value(item, where, depth + 1) for item in value)
        if not isinstance(value, dict):
            return value
        if "dict" not in value:
            return self.layer(value, where, depth)
        try:
            return {str(key): self.value(item, f"{where}.{key}", depth + 1) for key, item in value["dict"]}
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error
