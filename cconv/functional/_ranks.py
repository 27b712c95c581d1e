"""Functions that exist for one, two and three spatial axes, written once."""

import inspect


def each_rank(function, name):
    """`function(rank, ...)` as three functions for the ranks 1, 2 and 3; `#` in `name` and in the docstring is the rank."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [_of_rank(function, name, rank, inspect.Signature(parameters)) for rank in (1, 2, 3)]


def _of_rank(function, name, rank, signature):
    def of_rank(*args, **kwargs):
        return function(rank, *args, **kwargs)

    of_rank.__name__ = of_rank.__qualname__ = name.replace("#", str(rank))
    text = function.__doc__ or ""
    if rank == 1:
        text = text.replace("int or # ints", "int").replace("# (before, after) pairs", "a (before, after) pair")
    of_rank.__doc__ = text.replace("#", str(rank))
    of_rank.__module__ = function.__module__
    of_rank.__signature__ = signature
    return of_rank
