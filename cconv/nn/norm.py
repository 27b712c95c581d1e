"""Batch norm layers (Ioffe and Szegedy 2015)."""

import numpy as np

from cconv.functional import norm
from cconv.functional._arguments import whole
from cconv.nn.base import Buffer, Layer, Parameter, gradients
from cconv.nn.recompute import once


class _BatchNorm(Layer):
    """Normalises every channel over the batch and all positions, then scales and shifts it.

    In training by the batch's mean and variance, which also move the running statistics; in inference by the
    running ones.

    Parameters
    ----------
    num_features : int, channels
    eps : float, added to the variance
    momentum : float, weight of the new value in the running statistics; None takes the mean of all batches
    decay : float, weight of the old value, instead of momentum: 1 - momentum, as Keras, CS231n and ONNX have it
    affine : bool, whether `weight` and `bias` are learned
    track_running_stats : bool; without, inference uses the batch's statistics, too
    unbiased : bool, whether running_var follows the unbiased variance, as torch does, or the biased one
    relu : bool, whether max(y, 0) follows, in the same pass
    bias : bool, whether `affine` means `bias`, too
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : Parameter (num_features,) or None
    running_mean, running_var, num_batches_tracked : Buffer or None
    """

    axes = ()

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, *,
                 unbiased=True, relu=False, decay=None, bias=True, dtype=np.float32):  # fmt: skip
        self.num_features, self.eps = whole(num_features, "num_features", 0), norm.eps_of(eps)
        self.momentum = norm.share_of(momentum, decay)
        self.affine, self.track_running_stats = affine, track_running_stats
        self.unbiased, self.relu = unbiased, relu
        self.weight = Parameter(np.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype)) if affine and bias else None
        tracked = track_running_stats
        self.running_mean = Buffer(np.zeros(num_features, dtype)) if tracked else None
        self.running_var = Buffer(np.ones(num_features, dtype)) if tracked else None
        self.num_batches_tracked = Buffer(np.int64(0)) if tracked else None

    def forward(self, x, train):
        y, both = self.forward_residual(x, train)

        def backward(dy, need_dx=True):
            return both(dy)[0]

        return y, backward

    def forward_residual(self, x, train, residual=None, relu=False, out=None):
        """As `forward`, with `residual` added before ReLU in the same pass; backward(dy) -> (dx, dresidual).

        y may be `out`, channels of a larger array.
        """
        self._check(np.shape(x))
        relu = relu or self.relu
        fixed = self.track_running_stats and not train
        weight, bias = (None if p is None else p.data for p in (self.weight, self.bias))
        if fixed:
            mean, var = self.running_mean.data.astype(np.float64), self.running_var.data.astype(np.float64)
            rstd = 1 / np.sqrt(var + self.eps)
            x, y = norm.normalize_fixed(x, mean, var, weight, bias, self.eps, relu, residual)
        else:
            norm.check_count(np.shape(x), self)
            x, y, mean, var, rstd = norm.normalize(x, weight, bias, self.eps, relu, residual, out)
            if train and self.track_running_stats and x.size:
                once(lambda: self._track(mean, var, x.size // self.num_features))
        mask = y if residual is not None else None

        def backward(dy):
            with gradients(self.weight, self.bias) as (dweight, dbias):
                return norm.normalize_backward(dy, x, mean, rstd, weight, bias, dweight, dbias, relu, fixed, mask)

        return y, backward

    def fold(self):
        """(scale, shift) such that inference is x * scale + shift, in the parameters' dtype."""
        mean, var = self.running_mean.data.astype(np.float64), self.running_var.data.astype(np.float64)
        scale = 1 / np.sqrt(var + self.eps)
        if self.affine:
            scale = scale * self.weight.data
        shift = (0 if self.bias is None else self.bias.data) - mean * scale
        dtype = self.running_mean.data.dtype
        return scale.astype(dtype), shift.astype(dtype)

    def _check(self, shape):
        if len(shape) not in self.axes or shape[1] != self.num_features:
            axes = " or ".join(map(str, self.axes))
            raise ValueError(f"{self!r}: expected (N, {self.num_features}, ...) with {axes} axes, got {tuple(shape)}")

    def _track(self, mean, var, count):
        self.num_batches_tracked.data += 1
        share = 1 / int(self.num_batches_tracked.data) if self.momentum is None else self.momentum
        norm.track(self.running_mean.data, self.running_var.data, mean, var, count, share, self.unbiased)

    def reset_running_stats(self):
        """Forget the running statistics: mean 0, variance 1, no batches."""
        if self.track_running_stats:
            self.running_mean.data[...] = 0
            self.running_var.data[...] = 1
            self.num_batches_tracked.data[...] = 0

    def extra_repr(self):
        text = (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )
        text += ", bias=False" if self.affine and self.bias is None else ""
        return text + (", unbiased=False" if not self.unbiased else "") + (", relu=True" if self.relu else "")


class BatchNorm1d(_BatchNorm):
    __doc__ = (_BatchNorm.__doc__ or "").replace("Normalises", "On (N, C) or (N, C, L): normalises", 1)
    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = (_BatchNorm.__doc__ or "").replace("Normalises", "On (N, C, H, W): normalises", 1)
    axes = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = (_BatchNorm.__doc__ or "").replace("Normalises", "On (N, C, D, H, W): normalises", 1)
    axes = (5,)
