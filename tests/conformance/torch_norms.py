"""torch.nn.functional's signatures on top of cconv.functional, for NumPy arrays: normalisation."""

import numpy as np

from cconv import functional as F

OPERATORS = {}


def operator(name):
    def register(function):
        OPERATORS[name] = function
        return function

    return register


@operator("nn.functional.batch_norm")
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    x, shape = input, input.shape
    if x.ndim == 1:
        x = x.reshape(0, 0)
    if not training:
        y = F.batch_norm_inference(x, running_mean, running_var, weight, bias, eps)
        axes, spread = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
        rstd = 1 / np.sqrt(running_var + eps)

        def backward(dy):
            dy = dy.reshape(x.shape)
            scale = rstd if weight is None else weight * rstd
            centred = (x - running_mean.reshape(spread)) * rstd.reshape(spread)
            return {
                "input": (dy * scale.reshape(spread)).reshape(shape), "weight": (dy * centred).sum(axes),
                "bias": dy.sum(axes),
            }  # fmt: skip

        return y.reshape(shape), backward
    y, mean, rstd = F.batch_norm_forward(x, weight, bias, eps)

    def backward(dy):
        dx, dweight, dbias = F.batch_norm_backward(dy.reshape(x.shape), x, mean, rstd, weight)
        return {"input": dx.reshape(shape), "weight": dweight, "bias": dbias}

    return y.reshape(shape), backward


@operator("native_batch_norm")
def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    y, backward = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    empty = np.empty(0, input.dtype)
    statistics = F.batch_norm_forward(input, weight, bias, eps)[1:] if training else (empty, empty)
    return (y, *statistics), backward


@operator("_native_batch_norm_legit")
def native_batch_norm_legit(input, weight, bias, running_mean, running_var, training=None, momentum=None, eps=None):
    if isinstance(running_mean, bool):  # the overload without running statistics
        return native_batch_norm(input, weight, bias, None, None, running_mean, running_var, training)
    return native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


@operator("nn.functional.local_response_norm")
def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    y = F.local_response_norm(input, size, alpha, beta, k)
    return y, lambda dy: {"input": F.local_response_norm_backward(dy, input, size, alpha, beta, k)}


@operator("nn.functional.layer_norm")
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    y = F.layer_norm(input, tuple(normalized_shape), weight, bias, eps)

    def backward(dy):
        gradients = F.layer_norm_backward(dy, input, tuple(normalized_shape), weight, eps)
        return dict(zip(("input", "weight", "bias"), gradients, strict=True))

    return y, backward


@operator("nn.functional.group_norm")
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    y = F.group_norm(input, num_groups, weight, bias, eps)

    def backward(dy):
        gradients = F.group_norm_backward(dy, input, num_groups, weight, eps)
        return dict(zip(("input", "weight", "bias"), gradients, strict=True))

    return y, backward


@operator("nn.functional.instance_norm")
def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    y = F.instance_norm(input, weight, bias, eps)

    def backward(dy):
        gradients = F.instance_norm_backward(dy, input, weight, eps)
        return dict(zip(("input", "weight", "bias"), gradients, strict=True))

    return y, backward
