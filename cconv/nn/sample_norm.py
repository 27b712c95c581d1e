"""Layers that normalise within a sample: layer, group and instance norm."""

import numpy as np

from cconv.functional import sample_norm as F
from cconv.functional._arguments import flag, real, whole
from cconv.nn.base import Layer, Parameter, gradients
from cconv.nn.norm import _BatchNorm


class LayerNorm(Layer):
    """Normalises over the last axes of each sample (Ba, Kiros and Hinton 2016); see `functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or ints, sizes of the last axes
    eps : float, added to the variance
    elementwise_affine : bool, whether `weight` (and, with `bias`, `bias`) are learned, one an element
    bias : bool
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : Parameter of `normalized_shape`, or None
    """

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, *, dtype=np.float32):
        if not isinstance(normalized_shape, (tuple, list)):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(whole(n, "normalized_shape", 1) for n in normalized_shape)
        self.eps, self.elementwise_affine = real(eps, "eps"), flag(elementwise_affine, "elementwise_affine")
        affine, bias = self.elementwise_affine, flag(bias, "bias")
        self.weight = Parameter(np.ones(self.normalized_shape, dtype)) if affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape, dtype)) if affine and bias else None

    def forward(self, x, train):
        y, backward = F.layer_norm_forward(x, self.normalized_shape, *_data(self), self.eps)
        return y, _into_parameters(self, backward)

    def extra_repr(self):
        text = f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        return text + (", bias=False" if self.weight is not None and self.bias is None else "")


class GroupNorm(Layer):
    """Normalises over groups of channels of each sample (Wu and He 2018); see `functional.group_norm`.

    Parameters
    ----------
    num_groups, num_channels : int, the first divides the second
    eps : float, added to the variance
    affine : bool, whether `weight` and `bias` are learned
    bias : bool, whether `affine` means `bias`, too
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : Parameter (num_channels,) or None
    """

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, *, bias=True, dtype=np.float32):
        self.num_groups, self.num_channels = whole(num_groups, "num_groups", 1), whole(num_channels, "num_channels", 1)
        if self.num_channels % self.num_groups != 0:
            raise ValueError(f"num_groups={num_groups} does not divide num_channels={num_channels}")
        self.eps, self.affine = real(eps, "eps"), flag(affine, "affine")
        self.weight = Parameter(np.ones(self.num_channels, dtype)) if self.affine else None
        self.bias = Parameter(np.zeros(self.num_channels, dtype)) if self.affine and flag(bias, "bias") else None

    def forward(self, x, train):
        if np.ndim(x) < 2 or np.shape(x)[1] != self.num_channels:
            raise ValueError(f"{self!r}: expected (N, {self.num_channels}, ...), got {np.shape(x)}")
        y, backward = F.group_norm_forward(x, self.num_groups, *_data(self), self.eps, self)
        return y, _into_parameters(self, backward)

    def extra_repr(self):
        text = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return text + (", bias=False" if self.affine and self.bias is None else "")


class _InstanceNorm(_BatchNorm):
    """Normalises each channel of each sample over its positions (Ulyanov, Vedaldi and Lempitsky 2016).

    Parameters
    ----------
    num_features : int, channels
    eps : float, added to the variance
    momentum : float, weight of the new value in the running statistics
    affine : bool, whether `weight` and `bias` are learned
    track_running_stats : bool, whether inference uses running statistics, the means of those of the samples
    bias : bool, whether `affine` means `bias`, too
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : Parameter (num_features,) or None
    running_mean, running_var, num_batches_tracked : Buffer or None
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=False, track_running_stats=False, *,
                 bias=True, dtype=np.float32):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)

    def forward(self, x, train):
        if self.track_running_stats and not train:
            return super().forward(x, False)
        self._check(np.shape(x))
        y, mean, var, backward = F.instance_norm_forward(x, *_data(self), self.eps, self)
        if self.track_running_stats and len(mean) > 0:
            self._track(mean.mean(0), var.mean(0), y.size // mean.size)
        return y, _into_parameters(self, backward)


def _of_axes(name, axes, where):
    doc = (_InstanceNorm.__doc__ or "").replace("Normalises", f"On {where}: normalises", 1)
    return type(name, (_InstanceNorm,), {"axes": (axes,), "__doc__": doc, "__module__": __name__})


InstanceNorm1d = _of_axes("InstanceNorm1d", 3, "(N, C, L)")
InstanceNorm2d = _of_axes("InstanceNorm2d", 4, "(N, C, H, W)")
InstanceNorm3d = _of_axes("InstanceNorm3d", 5, "(N, C, D, H, W)")


def _data(layer):
    return [None if parameter is None else parameter.data for parameter in (layer.weight, layer.bias)]


def _into_parameters(layer, backward):
    def into_parameters(dy, need_dx=True):
        dx, *sums = backward(dy)
        with gradients(layer.weight, layer.bias) as targets:
            for target, gradient in zip(targets, sums, strict=True):
                if target is not None:
                    target += gradient
        return dx if need_dx else None

    return into_parameters
