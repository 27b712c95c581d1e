"""Checkpoints: a Model as a safetensors file with a SHA-256 of the whole file in the metadata.

Any safetensors reader opens them. Files are written here rather than by the safetensors package because that
writes metadata in random order: here equal states give equal bytes, and the digest covers every byte.
Files are untrusted when read: everything is checked against the file's length before an array is made.
"""

import contextlib
import hashlib
import inspect
import json
import math
import os
import stat
import sys

import numpy as np

from cconv import nn
from cconv.nn.base import limited_parameters
from cconv.nn.loss import LOSSES

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "|b1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
_NAMES = {np.dtype(code).newbyteorder("="): name for name, code in _DTYPES.items()}
_LONGEST_HEADER = 100_000_000
_MARK = '"sha256":"'
_BLANK = "0" * 64
FORMAT = "cconv"
VERSION = 1
_OPTIMIZER = "optimizer/"


class CheckpointError(ValueError):
    """The file is not a complete, undamaged checkpoint; the message names it."""


def write(path, tensors, metadata):
    """Write arrays and metadata to `path`, completely or not at all.

    The file appears under its name only when all its bytes are on the disk; when anything fails, an older
    file of that name stays as it was.

    Parameters
    ----------
    path : path-like
    tensors : dict of name -> ndarray
    metadata : dict of str -> str

    Raises
    ------
    TypeError
        For an array of another type than bool, integers and floats of 16 to 64 bits.
    OSError
        With the path, when the file cannot be written.
    """
    header, buffers = _encode(tensors, metadata)
    digest = hashlib.sha256(header)
    for buffer in buffers:
        digest.update(buffer)
    header = header.replace((_MARK + _BLANK).encode(), (_MARK + digest.hexdigest()).encode())
    put(path, [header, *buffers])


def read(path):
    """Read a safetensors file; the digest is verified where the file has one, as every file of ours does.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    tensors : dict of name -> ndarray
    metadata : dict of str -> str

    Raises
    ------
    CheckpointError
        Naming the file, when it is truncated, damaged or malformed.
    OSError
        When the file cannot be read.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path}: not a regular file")
        content = memoryview(bytearray(status.st_size))
        filled = 0
        while count := file.readinto(content[filled:]):
            filled += count
    if filled != len(content):
        raise CheckpointError(f"{path}: truncated while it was read")
    try:
        return _decode(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def load_weights(net, path, strict=True, skip=()):
    """Load a safetensors file of weights, such as one with torchvision's keys, or of a Model into a network.

    Parameters
    ----------
    net : nn.Layer
    path : path-like
    strict : bool
        Whether missing and unexpected keys are errors.
    skip : str or sequence of str
        Layers that keep the weights they have, such as "fc" where a network is to learn other classes.

    Returns
    -------
    net

    Raises
    ------
    CheckpointError
        Naming the file, when it is damaged, or listing missing, unexpected and mis-shaped keys; nothing is written
        then.
    OSError
        When the file cannot be read.
    ValueError
        When the network has no layer that `skip` names.
    """
    tensors, metadata = read(path)
    if metadata.get("format") == FORMAT:
        tensors = {key: value for key, value in tensors.items() if not key.startswith(_OPTIMIZER)}
    own = net.state_dict() if skip else {}
    for layer in (skip,) if isinstance(skip, str) else skip:
        kept = {key: value for key, value in own.items() if f"{key}.".startswith(f"{layer}.")}
        if not kept:
            raise ValueError(f"skip: the network has no layer {layer!r}")
        tensors = {key: value for key, value in tensors.items() if not f"{key}.".startswith(f"{layer}.")} | kept
    try:
        net.load_state_dict(tensors, strict)
    except ValueError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from None
    return net


def save_model(model, path):
    """Write a Model: the network's tensors under their state_dict names, the optimiser's under "optimizer/"."""
    tensors = model.net.state_dict()
    state = model.optimizer.state_dict()
    arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
    tensors |= {_OPTIMIZER + key: value for key, value in arrays.items()}
    training = {
        "loss": model.loss_name or _loss_facts(model.loss),
        "metrics": [name for name in model.metrics if name == "accuracy" or name.startswith("top")],
        "epoch": model.epoch,
        "input_shape": None if model.input_shape is None else list(model.input_shape),
        "place": model.place(),
        "notes": model.notes,
        "random": {name: list(layer.random_state()) for name, layer in _random_layers(model.net)},
    }
    optimizer = {
        "type": type(model.optimizer).__name__,
        "arguments": _arguments(model.optimizer),
        "state": {key: value for key, value in state.items() if key not in arrays},
    }
    facts = {"architecture": _architecture(model.net), "optimizer": optimizer, "training": training}
    metadata = {key: json.dumps(value, default=_plain) for key, value in facts.items()}
    write(path, tensors, {"version": str(VERSION), **metadata})


def load_model(cls, path, net=None, optimizer=None, loss=None):
    """The Model that `save_model` wrote, as an object of `cls`."""
    tensors, metadata = read(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: weights without a cconv model; read them with cconv.checkpoint.load_weights")
    if metadata.get("version") != str(VERSION):
        raise CheckpointError(f"{path}: format version {metadata.get('version')}, this cconv reads {VERSION}")
    try:
        architecture, facts, training = (json.loads(metadata[k]) for k in ("architecture", "optimizer", "training"))
        if net is None:
            if architecture is None:
                raise CheckpointError("the network has layers from outside cconv.nn; pass net=")
            with limited_parameters(sum(array.nbytes for array in tensors.values())):
                net = nn.build(architecture)
        net.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(_OPTIMIZER)})
        model = cls(
            net,
            loss if loss is not None else _loss(training["loss"]),
            optimizer if optimizer is not None else _optimizer(facts),
            training["metrics"],
        )
        arrays = {k.removeprefix(_OPTIMIZER): v for k, v in tensors.items() if k.startswith(_OPTIMIZER)}
        model.optimizer.load_state_dict(facts["state"] | arrays)
        for name, layer in _random_layers(net):
            if name in training["random"]:
                layer.set_random_state(training["random"][name])
        shape = training["input_shape"]
        model.restore(training["epoch"], None if shape is None else tuple(shape), training["place"], training["notes"])
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path}: not a usable model: {error}") from error
    return model


def _architecture(net):
    try:
        return nn.describe(net)
    except TypeError:
        # Layers of the user's own: load() then asks for the network.
        return None


def _loss_facts(loss):
    """Class and options of a loss of cconv.nn; None for one of the user's own: load() then asks for it."""
    if type(loss) not in LOSSES.values():
        return None
    return {"type": type(loss).__name__, "arguments": vars(loss)}


def _loss(facts):
    if isinstance(facts, str):
        return facts
    if facts is None:
        raise CheckpointError("the loss is from outside cconv.nn; pass loss=")
    if facts["type"] not in LOSSES:
        raise CheckpointError(f"unknown loss {facts['type']!r}; pass loss=")
    return LOSSES[facts["type"]](**facts["arguments"])


def _random_layers(net):
    """(name, layer) of the layers that draw random numbers, such as Dropout."""
    return [(name, layer) for name, layer in net.named_layers() if hasattr(layer, "random_state")]


def _arguments(optimizer):
    """The constructor arguments that the optimiser keeps as attributes of the same name."""
    names = [*inspect.signature(type(optimizer)).parameters, *getattr(optimizer, "shared_options", ())]
    return {name: getattr(optimizer, name) for name in names if hasattr(optimizer, name)}


def _optimizer(facts):
    from cconv import optim

    cls = getattr(optim, facts["type"], None)
    if not isinstance(cls, type) or not hasattr(cls, "bind"):
        raise CheckpointError(f"unknown optimiser {facts['type']!r}; pass optimizer=")
    return cls(**facts["arguments"])


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"a checkpoint cannot hold {value!r}")


def _encode(tensors, metadata):
    """The header with a blank digest, its length in front, and the arrays' bytes in file order."""
    entries, buffers, position = {}, [], 0
    for name, array in sorted(tensors.items(), key=lambda item: (-np.asarray(item[1]).itemsize, item[0])):
        array = np.asarray(array)
        kind = _NAMES.get(array.dtype.newbyteorder("="))
        if kind is None:
            raise TypeError(f"cannot store {name!r}: dtype {array.dtype}")
        entries[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        buffers.append(np.ascontiguousarray(array, _DTYPES[kind]).reshape(-1).view(np.uint8).data)
        position += array.nbytes
    facts = {**metadata, "format": FORMAT, "sha256": _BLANK}
    header = {"__metadata__": dict(sorted(facts.items())), **entries}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, buffers


def _decode(content):
    if len(content) < 8:
        raise CheckpointError("truncated: no header")
    length = int.from_bytes(content[:8], "little")
    if length > min(_LONGEST_HEADER, len(content) - 8):
        raise CheckpointError(f"header of {length} bytes in a file of {len(content)}")
    header = _parse(bytes(content[8 : 8 + length]))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError("metadata must map strings to strings")
    if "sha256" in metadata or metadata.get("format") == FORMAT:
        _verify(content, length, metadata.get("sha256", ""))
    data = content[8 + length :]
    layout = _layout(header, len(data))
    return {name: _array(data[begin:end], dtype, shape) for name, dtype, shape, begin, end in layout}, metadata


def _array(part, dtype, shape):
    # frombuffer refuses an empty buffer.
    array = np.frombuffer(part, dtype).reshape(shape) if len(part) else np.empty(shape, dtype)
    return array if sys.byteorder == "little" else array.astype(array.dtype.newbyteorder("="))


def _parse(text):
    def unique(pairs):
        result = dict(pairs)
        if len(result) != len(pairs):
            raise CheckpointError("a name occurs twice in the header")
        return result

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise CheckpointError("the header is not a JSON object")
    return header


def _verify(content, length, digest):
    header = bytes(content[: 8 + length])
    mark = (_MARK + digest).encode(errors="replace")
    if len(digest) != 64 or header.count(mark) != 1:
        raise CheckpointError("damaged: its SHA-256 is missing")
    found = hashlib.sha256(header.replace(mark, (_MARK + _BLANK).encode()))
    found.update(content[8 + length :])
    if found.hexdigest() != digest:
        raise CheckpointError("damaged: its contents do not match its SHA-256")


def _layout(header, available):
    """(name, dtype, shape, begin, end) of every tensor; together they must fill the data exactly."""
    layout = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise CheckpointError(f"{name!r}: malformed entry")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2 or len(shape) > 32:
            raise CheckpointError(f"{name!r}: malformed shape or offsets")
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
            raise CheckpointError(f"{name!r}: dtype {entry['dtype']!r} is not supported")
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        # Sizes beside a zero must not overflow an index either.
        if math.prod(max(size, 1) for size in shape) * dtype.itemsize >= 1 << 62:
            raise CheckpointError(f"{name!r}: shape {shape} overflows")
        if offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
            raise CheckpointError(f"{name!r}: shape {shape} and offsets {offsets} disagree")
        layout.append((name, dtype, tuple(shape), *offsets))
    position = 0
    for name, _, _, begin, end in sorted(layout, key=lambda item: item[3:]):
        if begin != position:
            raise CheckpointError(f"{name!r}: hole or overlap at byte {position}")
        position = end
    if position != available:
        raise CheckpointError(f"the tensors fill {position} bytes, the file holds {available}")
    return layout


def _are_sizes(values):
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 62 for value in values)


def put(path, parts):
    """Put a file of these bytes in place of `path` by renaming a complete one; a symbolic link keeps pointing."""
    named, path = os.fspath(path), os.path.realpath(path)
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            # Users know the path, not the temporary file beside it.
            raise type(error)(error.errno, error.strerror, named) from error
        raise
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
