"""Euclidean radial basis function output, the last layer of LeNet-5 (LeCun et al. 1998, eq. 7)."""

import numpy as np

from cconv.nn.base import Buffer, Layer


class RBF(Layer):
    """y[n, j] = -sum over i of (x[n, i] - codes[j, i])**2.

    The distances are negated so that the largest output is the nearest code: argmax and cross-entropy take
    them as logits. The codes are fixed; the layer has no trainable parameters.

    Parameters
    ----------
    codes : array-like (classes, features) of +-1
    """

    def __init__(self, codes):
        codes = np.array(codes, np.float32)
        if codes.ndim != 2 or not codes.size or not np.isin(codes, (-1, 1)).all():
            raise ValueError(f"codes must be a (classes, features) array of +-1, got shape {codes.shape}")
        self.codes = Buffer(codes)

    def extra_repr(self):
        classes, features = self.codes.data.shape
        return f"{features}, {classes}"

    def forward(self, x, train):
        x = np.asarray(x)
        self.output_shape(x.shape)
        codes = self.codes.data
        if x.dtype.newbyteorder("=") != codes.dtype:
            raise TypeError(f"RBF: x must be {codes.dtype} like the codes, got {x.dtype}")
        y = np.stack([-np.square(x - code).sum(1) for code in codes], axis=1)

        def backward(dy, need_dx=True):
            return 2 * (dy @ codes - x * np.sum(dy, axis=1, keepdims=True)) if need_dx else None

        return y, backward

    def output_shape(self, input_shape):
        classes, features = self.codes.data.shape
        if len(input_shape) != 2 or input_shape[1] != features:
            raise ValueError(f"RBF: x must have shape (N, {features}), got {tuple(input_shape)}")
        return (input_shape[0], classes)

    def macs(self, input_shape):
        return input_shape[0] * self.codes.data.size
