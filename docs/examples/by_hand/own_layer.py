"""
A layer of your own
===================

A layer is ``forward(x, train)``, which returns its output and the function that takes the gradient back.

.. row:: 3.10

The chain rule is all that connects layers: if y = g(f(x)), the gradient of a loss flows through g first and is multiplied by f's derivative
next. Written out for two linear maps it is a double sum over the places in between, and the order in which that sum is taken does not matter; matrices make
it a product of transposes from right to left. Here is a layer, softplus with a learnt sharpness, whose ``backward`` stands right under its ``forward``:
"""

import numpy as np

from cconv import nn


class SharpSoftplus(nn.Layer):
    """log(1 + exp(s x)) / s with a learnt s."""

    def __init__(self, s=1.0, dtype=np.float32):
        self.s = nn.Parameter(np.full(1, s, dtype))

    def forward(self, x, train):
        s = self.s.data
        soft = np.logaddexp(0, s * x)
        slope = 1 / (1 + np.exp(-s * x))

        def backward(dy, need_dx=True):
            self.s.grad += (dy * (x * slope / s - soft / s**2)).sum()
            return dy * slope

        return soft / s, backward


# %%
# Does it tell the truth? Finite differences in double precision are the judge, for the input and for the parameter, here with a convolution
# in front, so that the chain rule has something to chain:

rng = np.random.default_rng(0)
net = nn.Sequential(nn.Conv2d(2, 3, 3, rng=0), SharpSoftplus(1.5)).astype(np.float64)
x = rng.standard_normal((2, 2, 5, 5))
y, backward = net.forward(x, True)
dy = rng.standard_normal(y.shape)
net.zero_grad()
dx = backward(dy)


def difference(array, place, step=1e-6):
    kept = array[place]
    array[place] = kept + step
    above = (net(x) * dy).sum()
    array[place] = kept - step
    below = (net(x) * dy).sum()
    array[place] = kept
    return (above - below) / (2 * step)


sharpness = net[1].s
print("sharpness", difference(sharpness.data, 0), sharpness.grad[0])
weight = net[0].weight
print("a weight ", difference(weight.data, (1, 0, 2, 1)), weight.grad[1, 0, 2, 1])
print("a pixel  ", difference(x, (0, 1, 2, 3)), dx[0, 1, 2, 3])

# %%
# The chain by hand for two matrices: first through B, then through A, or through their product at once.

A, B, v = (
    rng.integers(-3, 4, (4, 3)),
    rng.integers(-3, 4, (2, 4)),
    rng.integers(-3, 4, 2),
)
one_by_one, at_once = A.T @ (B.T @ v), (B @ A).T @ v
double_sum = np.einsum("i,ij,jk->k", v, B, A)
one_by_one, at_once, double_sum
