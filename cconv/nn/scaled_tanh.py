"""The squashing function of LeNet-5 (LeCun et al. 1998, eq. 6)."""

import numpy as np

from cconv.nn.base import Layer

_AMPLITUDE, _SLOPE = 1.7159, 2 / 3


class ScaledTanh(Layer):
    """y = 1.7159 tanh(2/3 x): +-1 are where the curve bends most, and f(+-1) is about +-1."""

    def forward(self, x, train):
        y = np.multiply(x, _SLOPE, dtype=np.asarray(x).dtype.newbyteorder("="))
        np.tanh(y, out=y)
        y *= _AMPLITUDE

        def backward(dy, need_dx=True):
            if not need_dx:
                return None
            dx = np.square(y)
            dx *= -_SLOPE / _AMPLITUDE
            dx += _AMPLITUDE * _SLOPE
            dx *= dy
            return dx

        return y, backward
