"""PyTorch's operator samples as NumPy arrays, how many there are, and which of them cconv takes otherwise on purpose."""

import warnings

import numpy as np
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

# Samples of each operator, all variants of its name together.
SAMPLES = {
    "_native_batch_norm_legit": 10, "addmm": 12, "cat": 9, "flatten": 6, "log_softmax": 14, "matmul": 15, "mm": 3,
    "native_batch_norm": 10, "nn.functional.adaptive_avg_pool1d": 6, "nn.functional.adaptive_avg_pool2d": 10,
    "nn.functional.adaptive_avg_pool3d": 12, "nn.functional.adaptive_max_pool1d": 8,
    "nn.functional.adaptive_max_pool2d": 24, "nn.functional.adaptive_max_pool3d": 20, "nn.functional.avg_pool1d": 9,
    "nn.functional.avg_pool2d": 7, "nn.functional.avg_pool3d": 8, "nn.functional.batch_norm": 24,
    "nn.functional.binary_cross_entropy": 11, "nn.functional.binary_cross_entropy_with_logits": 26,
    "nn.functional.celu": 3, "nn.functional.conv1d": 10, "nn.functional.conv2d": 30, "nn.functional.conv3d": 20,
    "nn.functional.conv_transpose1d": 10, "nn.functional.conv_transpose2d": 12, "nn.functional.conv_transpose3d": 10,
    "nn.functional.cross_entropy": 21, "nn.functional.elu": 3, "nn.functional.gelu": 8,
    "nn.functional.group_norm": 21, "nn.functional.hardsigmoid": 3, "nn.functional.hardswish": 4,
    "nn.functional.hardtanh": 5, "nn.functional.hinge_embedding_loss": 10, "nn.functional.huber_loss": 9,
    "nn.functional.instance_norm": 9, "nn.functional.kl_div": 16, "nn.functional.l1_loss": 6,
    "nn.functional.layer_norm": 6, "nn.functional.leaky_relu": 9, "nn.functional.linear": 18,
    "nn.functional.local_response_norm": 11, "nn.functional.logsigmoid": 3, "nn.functional.max_pool1d": 864,
    "nn.functional.max_pool2d": 1440, "nn.functional.max_pool3d": 576, "nn.functional.max_unpool1d": 157,
    "nn.functional.max_unpool2d": 321, "nn.functional.max_unpool3d": 108, "nn.functional.mish": 3,
    "nn.functional.mse_loss": 6, "nn.functional.multi_margin_loss": 10, "nn.functional.nll_loss": 61,
    "nn.functional.pad": 89, "nn.functional.prelu": 25, "nn.functional.relu": 4, "nn.functional.relu6": 3,
    "nn.functional.selu": 3, "nn.functional.silu": 6, "nn.functional.smooth_l1_loss": 8, "nn.functional.softplus": 3,
    "nn.functional.softsign": 3, "nn.functional.threshold": 4, "nn.functional.unfold": 163, "sigmoid": 3,
    "softmax": 14, "tanh": 1,
}  # fmt: skip

# Random numbers choose among the samples of these.
SAMPLES_FLOAT64 = SAMPLES | {
    "nn.functional.max_unpool1d": 162, "nn.functional.max_unpool2d": 323, "nn.functional.max_unpool3d": 105,
}  # fmt: skip

# Error inputs of each operator.
ERRORS = {
    "cat": 14, "nn.functional.adaptive_avg_pool1d": 2, "nn.functional.adaptive_avg_pool2d": 3,
    "nn.functional.adaptive_avg_pool3d": 3, "nn.functional.adaptive_max_pool1d": 2,
    "nn.functional.adaptive_max_pool2d": 3, "nn.functional.adaptive_max_pool3d": 3, "nn.functional.avg_pool1d": 2,
    "nn.functional.avg_pool2d": 5, "nn.functional.avg_pool3d": 6, "nn.functional.conv1d": 10,
    "nn.functional.conv2d": 10, "nn.functional.conv3d": 10, "nn.functional.gelu": 1, "nn.functional.group_norm": 2,
    "nn.functional.hardtanh": 1, "nn.functional.hinge_embedding_loss": 1, "nn.functional.huber_loss": 3,
    "nn.functional.l1_loss": 2, "nn.functional.max_pool1d": 24, "nn.functional.max_pool2d": 7,
    "nn.functional.max_pool3d": 7, "nn.functional.max_unpool1d": 1, "nn.functional.max_unpool2d": 1,
    "nn.functional.max_unpool3d": 1, "nn.functional.multi_margin_loss": 9, "nn.functional.prelu": 3,
}  # fmt: skip


def _negative_eps(sample):
    return any(isinstance(v, float) and v < 0 for v in (*sample.args, *sample.kwargs.values()))


def _other_signs(sample):
    return not sample.args[0].detach().abs().eq(1).all()


# Samples that cconv refuses: operator -> (which, how many). A variance needs no negative eps, a hinge has two sides.
REFUSED = {
    "nn.functional.group_norm": (_negative_eps, 4),
    "nn.functional.layer_norm": (_negative_eps, 1),
    "nn.functional.hinge_embedding_loss": (_other_signs, 1),
}


def _strided_same(sample):
    return sample.kwargs.get("padding") == "same" and sample.kwargs.get("stride", 1) != 1


def _without_channels(sample):
    return sample.input.shape in ((0, 10), (0, 1, 2, 10))


# Error inputs that cconv gives a meaning: operator -> (which, how many). "same" with a stride has ceil(n / stride)
# outputs, as in TensorFlow and ONNX; an image without channels is empty, as a batch without images is.
EXTENSIONS = {
    "nn.functional.conv3d": (_strided_same, 1),
    "nn.functional.max_pool1d": (_without_channels, 2),
    "nn.functional.max_pool3d": (_without_channels, 1),
}


def infos(name):
    return [op for op in op_db if op.name == name]


def samples(name, dtype, layout="given"):
    """(op, sample) of every variant; deterministic."""
    for op in infos(name):
        torch.manual_seed(0)
        for sample in op.sample_inputs("cpu", getattr(torch, dtype), requires_grad=True):
            yield op, sample.noncontiguous() if layout == "noncontiguous" else sample


def array(value):
    """A read-only array with the strides of a tensor; containers likewise, other values as they are."""
    if isinstance(value, torch.Tensor):
        result = value.detach().numpy()
        result.flags.writeable = False
        return result
    if isinstance(value, torch.dtype):
        return np.dtype(str(value).removeprefix("torch."))
    if isinstance(value, (list, tuple)):
        return type(value)(map(array, value)) if not isinstance(value, torch.Size) else tuple(value)
    return value


def call_arrays(function, sample):
    """function of a sample's arguments as arrays."""
    arguments = [array(v) for v in (sample.input, *sample.args)]
    return function(*arguments, **{name: array(v) for name, v in sample.kwargs.items()})
