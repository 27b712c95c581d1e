"""Rewrites a network into one that computes the same with fewer passes over memory.

The new tree shares the Parameters and Buffers of the old one, so the old one stays the network that
users see: its state_dict, summary and gradients are those of the fused one.
"""

from cconv import nn
from cconv.nn.base import is_own
from cconv.nn.combine import Concat, Sequential, Sum
from cconv.nn.joined import ConcatNorm, ConvNorm, ConvReLU, LinearReLU, NormReLU, Residual
from cconv.nn.lanes import ConvChain
from cconv.nn.recompute import Recompute

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def fuse(layer):
    """A layer equivalent to `layer`; `layer` itself where nothing can be joined."""
    if type(layer) is Sequential:
        layers = _rewrite([fuse(child) for child in _flat(layer)])
        return layers[0] if len(layers) == 1 else Sequential(*layers)
    if type(layer) is Recompute:
        return Recompute(*_rewrite([fuse(child) for child in _flat(layer)]))
    if type(layer) is Sum:
        return Sum(*[fuse(branch) for branch in layer])
    if type(layer) is Concat:
        branches = [fuse(branch) for branch in layer]
        joined = Concat(*branches, axis=layer.axis)
        # A user's layer may give another shape or dtype than it says: its output is looked at first.
        if layer.axis == 1 and any(branch.takes_out for branch in branches) and _all_own(joined):
            return ConcatNorm(*branches)
        return joined
    return layer


def recomputing(layer, stretches):
    """`layer` with its sub-layers [begin, end) in a `Recompute`, for each of `stretches`."""
    if not stretches:
        return layer
    if type(layer) is not Sequential:
        raise ValueError(f"only layers one after the other can be recomputed, this network is {type(layer).__name__}")
    layers, position = [], 0
    for begin, end in sorted(stretches):
        if not position <= begin < end <= len(layer):
            raise ValueError(f"stretches must not overlap, each begin < end <= {len(layer)}; got {stretches}")
        layers += [*layer[position:begin], Recompute(*layer[begin:end])]
        position = end
    return Sequential(*layers, *layer[position:])


def _flat(sequential):
    """The layers of nested Sequentials in the order they run."""
    for layer in sequential:
        if type(layer) is Sequential:
            yield from _flat(layer)
        else:
            yield layer


def _all_own(layer):
    return all(is_own(each) for _, each in layer.named_layers())


def _rewrite(layers):
    layers = _conv_chains(layers)
    for rule in (_pool_first, _conv_norm, _norm_relu, _residual, _conv_relu, _linear_relu):
        layers = _apply(rule, layers)
    return layers


def _apply(rule, layers):
    """Where `rule(neighbours)` returns (layers, count), the first `count` neighbours become those layers."""
    rewritten, position = [], 0
    while position < len(layers):
        replaced = rule(*_kinds(layers[position:]))
        if replaced is None:
            rewritten.append(layers[position])
            position += 1
        else:
            rewritten.extend(replaced[0])
            position += replaced[1]
    return rewritten


def _kinds(layers):
    """Three neighbours, None beyond the end."""
    return (*layers[:3], None, None)[:3]


def _is(layer, *types):
    return type(layer) in types


def _pool_first(first, relu, pool):
    """The maximum of what ReLU lets pass is what ReLU lets pass of the maximum, on fewer elements."""
    if not _is(first, *_NORMS) and _is(relu, nn.ReLU) and _is(pool, *_MAX_POOLS) and not pool.return_indices:
        return [first, pool, relu], 3


def _conv_norm(conv, norm, relu):
    if _is(conv, *_CONVS) and _is(norm, *_NORMS) and not norm.relu:
        joined = _is(relu, nn.ReLU)
        return [ConvNorm(conv, norm, joined)], 3 if joined else 2


def _norm_relu(norm, relu, _):
    if _is(norm, *_NORMS) and _is(relu, nn.ReLU):
        return [NormReLU(norm)], 2


def _residual(block, relu, _):
    """Sum of two branches of which one ends with a norm, with or without ReLU behind."""
    if not _is(block, Sum) or len(block) != 2:
        return None
    for body, shortcut in (list(block), list(block)[::-1]):
        *front, last = [None, *body] if _is(body, Sequential) else [None, body]
        if _is(last, ConvNorm) and not last.relu:
            joined = _is(relu, nn.ReLU)
            return [Residual(Sequential(*front[1:]), last, shortcut, joined)], 2 if joined else 1
    return None


def _conv_relu(conv, relu, _):
    if _is(conv, *_CONVS) and _is(relu, nn.ReLU):
        return [ConvReLU(conv)], 2


def _linear_relu(linear, relu, _):
    if _is(linear, nn.Linear) and _is(relu, nn.ReLU):
        return [LinearReLU(linear)], 2


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
