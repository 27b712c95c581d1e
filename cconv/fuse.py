"""Rewrites a network into one that computes the same with fewer passes over memory.

The new tree shares the Parameters and Buffers of the old one, so the old one stays the network that
users see: its state_dict, summary and gradients are those of the fused one.
"""

from cconv.nn.combine import Sequential
from cconv.nn.lanes import ConvChain


def fuse(layer):
    """A layer equivalent to `layer`; `layer` itself where nothing can be joined."""
    if type(layer) is not Sequential:
        return layer
    layers = [fuse(child) for child in _flat(layer)]
    return Sequential(*_conv_chains(layers))


def _flat(sequential):
    """The layers of nested Sequentials in the order they run."""
    for layer in sequential:
        if type(layer) is Sequential:
            yield from _flat(layer)
        else:
            yield layer


def _conv_chains(layers):
    """Join each longest run of small convolution stages."""
    joined, position = [], 0
    while position < len(layers):
        end = position
        while (
            len(layers) - end >= 3
            and ConvChain.fits(*layers[end : end + 3])
            and (end - position) // 3 < ConvChain.MOST_STAGES
        ):
            end += 3
        if end > position:
            joined.append(ConvChain(layers[position:end]))
            position = end
        else:
            joined.append(layers[position])
            position += 1
    return joined
