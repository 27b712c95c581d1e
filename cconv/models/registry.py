"""The fixed table of networks: whoever defines one decorates it with `network`."""

import functools
import inspect

_NETWORKS = {}


def network(build):
    """Enter the function `build` in the table; what it builds remembers name and arguments in `config`."""
    signature = inspect.signature(build)

    @functools.wraps(build)
    def remembered(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        net = build(*bound.args, **bound.kwargs)
        arguments = {name: value for name, value in bound.arguments.items() if name != "rng"}
        net.config = {"name": build.__name__, "arguments": arguments}
        return net

    _NETWORKS[build.__name__] = remembered
    return remembered


def create(name, **arguments):
    """Build the network called `name`, such as `create("lenet5", variant="1998", rng=0)`.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.
    """
    if name not in _NETWORKS:
        raise ValueError(f"there is no network {name!r}; there are {', '.join(names())}")
    return _NETWORKS[name](**arguments)


def names():
    """Sorted names of the networks `create` can build."""
    return sorted(_NETWORKS)
