"""Which parameters weight decay leaves alone."""

from cconv.nn.base import Parameter

KINDS = ("bias", "norm")


def kinds_of(no_decay):
    """`no_decay` as a tuple of KINDS.

    Raises
    ------
    ValueError
        For another word.
    """
    kinds = (no_decay,) if isinstance(no_decay, str) else tuple(no_decay)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"no_decay may hold {' and '.join(map(repr, KINDS))}, got {unknown[0]!r}")
    return kinds


def decaying(layer, no_decay):
    """Whether each parameter of `layer` decays, in the order of `layer.parameters()`."""
    seen, result = set(), []
    for _, below in layer.named_layers():
        norm = "Norm" in type(below).__name__
        for name, parameter in below._own(Parameter):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                result.append(not (("norm" in no_decay and norm) or ("bias" in no_decay and name == "bias")))
    return result
