"""The fixed table of networks: whoever defines one decorates it with `network`."""

import functools
import inspect

from cconv.functional._arguments import whole

_NETWORKS = {}


def network(side):
    """Decorator that enters a function in the table; what it builds remembers name, arguments and side in `config`.

    Parameters
    ----------
    side : int, or the name of the argument that holds it, or a table of variants as for `defaults`
        Height and width of the images the network is made for.
    """
    return functools.partial(_entered, side)


def _entered(side, build):
    signature = inspect.signature(build)

    @functools.wraps(build)
    def remembered(*args, **kwargs):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{build.__name__} {error}; it takes {', '.join(signature.parameters)}") from None
        bound.apply_defaults()
        net = build(*bound.args, **bound.kwargs)
        arguments = {name: value for name, value in bound.arguments.items() if name != "rng"}
        net.config = {"name": build.__name__, "arguments": arguments, "side": _side(side, arguments)}
        return net

    _NETWORKS[build.__name__] = remembered
    return remembered


def _side(side, arguments):
    if isinstance(side, dict):
        return side[arguments["variant"]][2]
    return arguments[side] if isinstance(side, str) else side


def input_shape(net):
    """(channels, height, width) of the images that a network of this table was made for; None for others."""
    if net.config is None:
        return None
    channels = next(layer.in_channels for _, layer in net.named_layers() if hasattr(layer, "in_channels"))
    return channels, net.config["side"], net.config["side"]


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


def defaults(variant, variants, num_classes, in_channels):
    """Classes and channels of `variant` where the arguments are None.

    Parameters
    ----------
    variants : dict name -> (classes, channels, side of the images) as published

    Raises
    ------
    ValueError
        For an unknown variant, and for numbers below 1.
    """
    if variant not in variants:
        raise ValueError(f"variant must be one of {', '.join(variants)}, got {variant!r}")
    own_classes, own_channels, _ = variants[variant]
    return (
        whole(own_classes if num_classes is None else num_classes, "num_classes", 1),
        whole(own_channels if in_channels is None else in_channels, "in_channels", 1),
    )
