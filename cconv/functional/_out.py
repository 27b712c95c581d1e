"""`out=`: the array that takes a result, for every function that returns one."""

import functools
import inspect

import numpy as np

from cconv.functional._arguments import FLOATS, is_channels_last

_ENTRY = "out : ndarray like the result, in any memory order, optional\n    Takes the result and is returned; it may overlap any argument.\n"


def with_out(function):
    """`function`, which returns one new array, with a keyword `out`.

    `out` is checked first: its kind before the function runs, its shape and dtype before anything is written. A function that
    has an `out` of its own gets it only where it may write there at once, in a memory order of the kernels and apart from
    every argument; it may also leave it alone. In all other cases its result is copied.
    """
    signature = inspect.signature(function)
    direct = "out" in signature.parameters

    @functools.wraps(function)
    def taking_out(*args, out=None, **kwargs):
        if out is None:
            return function(*args, **kwargs)
        _check(out)
        if direct and _is_plain(out) and _is_apart(out, args) and _is_apart(out, kwargs.values()):
            return _taken(function(*args, out=out, **kwargs), out)
        return _taken(function(*args, **kwargs), out)

    if not direct:
        parameter = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)
        signature = signature.replace(parameters=[*signature.parameters.values(), parameter])
    taking_out.__signature__ = signature
    taking_out.__doc__ = _described(inspect.cleandoc(function.__doc__ or ""))
    return taking_out


def _described(text):
    """The docstring with what `out` is, at the end of its parameters where they are listed."""
    before, returns, after = text.partition("\nReturns\n")
    if returns and "\nParameters\n" in before:
        return before + _ENTRY + returns + after
    return f"{text.rstrip()}\n\n`out`, an array like the result, takes it and is returned; it may overlap any argument."


def _check(out):
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out must be an ndarray, got {type(out).__name__}")
    if out.dtype not in FLOATS:
        raise TypeError(f"out must be float32 or float64, got {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")


def _is_plain(out):
    return out.flags.aligned and (out.flags.c_contiguous or is_channels_last(out))


def _is_apart(out, arguments):
    """Whether no argument can share memory with `out`; of what is no array nobody knows."""
    return all(
        not np.may_share_memory(out, value)
        if isinstance(value, np.ndarray)
        else value is None or isinstance(value, (int, float, str, tuple, list, np.generic))
        for value in arguments
    )


def _taken(result, out):
    if result is out:
        return out
    if not isinstance(result, np.ndarray):
        raise ValueError(f"out takes the result of a call that returns one array, not {type(result).__name__}")
    if out.shape != result.shape:
        raise ValueError(f"out must have shape {result.shape}, got {out.shape}")
    if out.dtype != result.dtype:
        raise TypeError(f"out must be {result.dtype}, got {out.dtype}")
    np.copyto(out, result)
    return out
