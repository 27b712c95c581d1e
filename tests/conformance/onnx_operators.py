"""ONNX operators by cconv.functional: OPERATORS[op_type](options, *inputs) -> output or tuple of outputs.

`options` holds the node's attributes, the opset and the number of outputs. What NumPy does by itself and cconv
therefore leaves to it (Add, Concat, Constant, Reshape, ...) is NumPy here, too.
"""

import math

import numpy as np

from cconv import functional as F

OPERATORS = {}


def operator(function):
    OPERATORS[function.__name__] = function
    return function


def of_rank(name, rank):
    return getattr(F, name.replace("#", str(rank)))


def _pairs(pads):
    rank = len(pads) // 2
    return tuple((pads[i], pads[i + rank]) for i in range(rank))


def _padding(options, rank):
    named = {"VALID": "valid", "SAME_UPPER": "same", "SAME_LOWER": "same_lower"}
    mode = options.get("auto_pad", "NOTSET")
    return named[mode] if mode in named else _pairs(options.get("pads", (0,) * (2 * rank)))


def _slide(options, rank):
    return tuple(options.get("strides", (1,) * rank)), tuple(options.get("dilations", (1,) * rank))


@operator
def Conv(options, x, weight, bias=None):
    rank = x.ndim - 2
    stride, dilation = _slide(options, rank)
    padding, groups = _padding(options, rank), options.get("group", 1)
    return of_rank("conv#d", rank)(x, weight, bias, stride, padding, dilation, groups)


@operator
def ConvTranspose(options, x, weight, bias=None):
    rank = x.ndim - 2
    stride, dilation = _slide(options, rank)
    extra = list(options.get("output_padding", (0,) * rank))
    shape, mode = options.get("output_shape"), options.get("auto_pad", "NOTSET")
    if shape is None and mode.startswith("SAME"):
        shape = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
    pads = _pairs(options.get("pads", (0,) * (2 * rank)))
    if shape is not None:
        pads = []
        for i, (size, n, s, d, k) in enumerate(
            zip(shape, x.shape[2:], stride, dilation, weight.shape[2:], strict=True)
        ):
            total = s * (n - 1) + extra[i] + (k - 1) * d + 1 - size
            if total < 0:  # the output is longer than the windows reach
                extra[i], total = extra[i] - total, 0
            small, large = total // 2, total - total // 2
            pads.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return of_rank("conv_transpose#d", rank)(
        x, weight, bias, stride, tuple(pads), tuple(extra), options.get("group", 1), dilation
    )


@operator
def MaxPool(options, x):
    rank = x.ndim - 2
    stride, dilation = _slide(options, rank)
    kernel, ceil_mode = tuple(options["kernel_shape"]), bool(options.get("ceil_mode", 0))
    values, indices = of_rank("max_pool#d", rank)(
        x if x.dtype.kind == "f" else x.astype(np.float32), kernel, stride, _padding(options, rank), dilation,
        ceil_mode, True,
    )  # fmt: skip
    plane = x.shape[2:]
    if options.get("storage_order", 0):
        indices = np.ravel_multi_index(np.unravel_index(indices, plane), plane, order="F")
    # ONNX counts from the start of the tensor.
    start = np.arange(math.prod(x.shape[:2])).reshape(x.shape[:2] + (1,) * rank) * math.prod(plane)
    return values.astype(x.dtype), indices + start


@operator
def MaxUnpool(options, x, indices, output_shape=None):
    rank = x.ndim - 2
    stride = options.get("strides", (1,) * rank)
    pads = _pairs(options.get("pads", (0,) * (2 * rank)))
    size = tuple(
        (n - 1) * s + k - before - after
        for n, s, k, (before, after) in zip(x.shape[2:], stride, options["kernel_shape"], pads, strict=True)
    )
    # The indices refer to the plane of the pooling, so the larger output repeats their place in it.
    start = np.arange(math.prod(x.shape[:2])).reshape(x.shape[:2] + (1,) * rank) * math.prod(size)
    y = of_rank("max_unpool#d", rank)(x, indices - start, size)
    if output_shape is None:
        return y
    larger = np.zeros(tuple(output_shape), x.dtype)
    larger[tuple(slice(n) for n in y.shape)] = y
    return larger


@operator
def AveragePool(options, x):
    rank = x.ndim - 2
    stride, dilation = _slide(options, rank)
    return of_rank("avg_pool#d", rank)(
        x, tuple(options["kernel_shape"]), stride, _padding(options, rank), bool(options.get("ceil_mode", 0)),
        bool(options.get("count_include_pad", 0)), dilation=dilation,
    )  # fmt: skip


@operator
def LpPool(options, x):
    rank = x.ndim - 2
    stride, dilation = _slide(options, rank)
    return of_rank("lp_pool#d", rank)(
        x, options.get("p", 2), tuple(options["kernel_shape"]), stride, padding=_padding(options, rank),
        dilation=dilation, ceil_mode=bool(options.get("ceil_mode", 0)),
    )  # fmt: skip


@operator
def GlobalAveragePool(options, x):
    return of_rank("adaptive_avg_pool#d", x.ndim - 2)(x, 1)


@operator
def GlobalMaxPool(options, x):
    return of_rank("adaptive_max_pool#d", x.ndim - 2)(x, 1)


@operator
def LRN(options, x):
    # ONNX's window has its longer half after the channel, torch's before it.
    size, odd = options["size"], options["size"] % 2 == 1
    arguments = size, options.get("alpha", 1e-4), options.get("beta", 0.75), options.get("bias", 1.0)
    return F.local_response_norm(x if odd else x[:, ::-1], *arguments)[:, :: 1 if odd else -1]


@operator
def BatchNormalization(options, x, weight, bias, mean, var):
    eps, share = options.get("epsilon", 1e-5), 1 - options.get("momentum", 0.9)
    if not options.get("training_mode", 0):
        return F.batch_norm_inference(x, mean, var, weight, bias, eps)
    y, batch_mean, rstd = F.batch_norm_forward(x, weight, bias, eps)
    batch_var = (1 / rstd.astype(np.float64) ** 2 - eps).astype(x.dtype)
    return y, (1 - share) * mean + share * batch_mean, (1 - share) * var + share * batch_var


@operator
def InstanceNormalization(options, x, weight, bias):
    return F.instance_norm(x, weight, bias, options.get("epsilon", 1e-5))


@operator
def GroupNormalization(options, x, weight, bias):
    return F.group_norm(x, options["num_groups"], weight, bias, options.get("epsilon", 1e-5))


@operator
def LayerNormalization(options, x, weight, bias=None):
    axis, eps = options.get("axis", -1) % x.ndim, options.get("epsilon", 1e-5)
    y = F.layer_norm(x, x.shape[axis:], weight, bias, eps)
    # The statistics of a row are those of a channel of the transpose.
    leading = x.shape[:axis]
    _, mean, rstd = F.batch_norm_forward(x.reshape(math.prod(leading), -1).T, eps=eps)
    shape = leading + (1,) * (x.ndim - axis)
    return y, mean.reshape(shape), rstd.reshape(shape)


@operator
def MeanVarianceNormalization(options, x):
    return F.batch_norm_forward(x, eps=0)[0]


@operator
def Pad(options, x, pads=None, value=None, axes=None):
    pads = [int(p) for p in (options["pads"] if pads is None else pads)]
    axes = range(len(pads) // 2) if axes is None else [int(axis) % x.ndim for axis in axes]
    pairs = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    flat = [p for axis in reversed(range(x.ndim)) for p in pairs.get(axis, (0, 0))]
    mode = {"edge": "replicate", "wrap": "circular"}.get(options.get("mode"), options.get("mode", "constant"))
    value = options.get("value", 0.0) if value is None else float(value)
    wide = x if x.dtype.kind == "f" else x.astype(np.float64)
    return F.pad(wide, tuple(flat), mode, value if mode == "constant" else None).astype(x.dtype)


@operator
def Gemm(options, a, b, c=None):
    a = a.T if options.get("transA", 0) else a
    weight = b if options.get("transB", 0) else b.T
    y = F.linear(a, weight) * np.asarray(options.get("alpha", 1.0), a.dtype)
    return y if c is None else y + np.asarray(options.get("beta", 1.0), a.dtype) * c


@operator
def MatMul(options, a, b):
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    y = np.empty((*batch, left.shape[-2], right.shape[-1]), a.dtype)
    left = np.broadcast_to(left, (*batch, *left.shape[-2:]))
    right = np.broadcast_to(right, (*batch, *right.shape[-2:]))
    for place in np.ndindex(*batch):
        y[place] = F.linear(left[place], right[place].T)
    y = y[..., 0, :] if a.ndim == 1 else y
    return y[..., 0] if b.ndim == 1 else y


def _activation(name, function, *names, **defaults):
    """An elementwise operator whose attributes are keyword arguments, `names` of the function's own."""

    def run(options, x):
        arguments = {own: options.get(attribute, default) for own, (attribute, default) in defaults.items()}
        return getattr(F, function)(x, **arguments)

    OPERATORS[name] = run


_activation("Relu", "relu")
_activation("LeakyRelu", "leaky_relu", negative_slope=("alpha", 0.01))
_activation("Sigmoid", "sigmoid")
_activation("Tanh", "tanh")
_activation("Elu", "elu", alpha=("alpha", 1.0))
_activation("Gelu", "gelu", approximate=("approximate", "none"))
_activation("Softplus", "softplus")
_activation("HardSigmoid", "hardsigmoid", alpha=("alpha", 0.2), beta=("beta", 0.5))
_activation("HardSwish", "hardswish")


@operator
def Selu(options, x):
    """cconv's SELU has the constants of the paper; others make it a scaled ELU."""
    alpha, gamma = options.get("alpha", 1.67326319217681884765625), options.get("gamma", 1.05070102214813232421875)
    if np.float32(gamma) == np.float32(1.05070102214813232421875):
        return F.selu(x)
    return (gamma * F.elu(x, alpha)).astype(x.dtype)


@operator
def PRelu(options, x, slope):
    by_channel = options["opset"] < 7 or slope.shape == (x.shape[1],) + (1,) * (x.ndim - 2)
    if by_channel or slope.size == 1:
        return F.prelu(x, slope.reshape(-1))
    # One slope an element: every element a channel.
    slopes = np.broadcast_to(slope, x.shape).reshape(-1)
    return F.prelu(x.reshape(1, -1), slopes).reshape(x.shape)


def _softmax(options, x, function):
    if options["opset"] >= 13:
        return function(x, options.get("axis", -1))
    axis = options.get("axis", 1) % x.ndim
    return function(x.reshape(math.prod(x.shape[:axis]), -1), 1).reshape(x.shape)


@operator
def Softmax(options, x):
    return _softmax(options, x, F.softmax)


@operator
def LogSoftmax(options, x):
    return _softmax(options, x, F.log_softmax)


@operator
def Dropout(options, x, ratio=None, training=None):
    p = float(ratio) if ratio is not None else options.get("ratio", 0.5)
    if training is None or not training:
        return x, np.ones(x.shape, bool)
    y = F.dropout(x, p, seed=options.get("seed", 0))
    return y, y != 0 if p else np.ones(x.shape, bool)


@operator
def Flatten(options, x):
    axis = options.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


@operator
def Reshape(options, x, shape):
    shape = [int(n) for n in shape]
    if not options.get("allowzero", 0):
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return x.reshape(shape)


@operator
def Col2Im(options, x, image_shape, block_shape):
    rank = len(image_shape)
    stride, dilation = _slide(options, rank)
    return F.col2im(
        x, tuple(image_shape.tolist()), tuple(block_shape.tolist()), stride, _padding(options, rank), dilation
    )


@operator
def Add(options, a, b):
    return a + b


@operator
def Concat(options, *arrays):
    return np.concatenate(arrays, options["axis"])


for _name, _function in {
    "Abs": np.abs, "Div": np.divide, "Mul": np.multiply, "Neg": np.negative,
}.items():  # fmt: skip
    OPERATORS[_name] = lambda options, *arrays, function=_function: function(*arrays)


@operator
def Constant(options):
    return options["value"]


@operator
def Transpose(options, x):
    return x.transpose(options.get("perm"))


@operator
def Unsqueeze(options, x):
    return np.expand_dims(x, tuple(options["axes"]))


@operator
def Squeeze(options, x):
    return np.squeeze(x, tuple(options["axes"]))


def _loss(options, function, logits, target, weight):
    arguments = {"ignore_index": options.get("ignore_index", -100), "reduction": options.get("reduction", "mean")}
    return np.asarray(function(logits, target, weight, **arguments), logits.dtype)


@operator
def NegativeLogLikelihoodLoss(options, x, target, weight=None):
    return _loss(options, F.nll_loss, x, target, weight)


@operator
def SoftmaxCrossEntropyLoss(options, x, target, weight=None):
    loss = _loss(options, F.cross_entropy, x, target, weight)
    return (loss, F.log_softmax(x, 1)) if options["outputs"] > 1 else loss
