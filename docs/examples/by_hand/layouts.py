"""
Memory layouts and the order of flattening
==========================================

Shapes are NCHW; memory may hold channels first or channels last. Values agree, only their places differ.

.. row:: 1.22 9.01
"""

import numpy as np

import cconv.functional as F
from cconv import nn

x = np.arange(24.0).reshape(1, 2, 3, 4)
last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
print("shape", x.shape, last.shape)
print("bytes from one value to the next along N, C, H, W")
print("channels first", x.strides)
print("channels last ", last.strides)

# %%
# ``last`` is a view: the buffer is (N, H, W, C), the shape NCHW. A convolution takes either and answers in kind; ``conv2d`` reads the strides and
# needs no option for it. Images that come as rows x columns x channels enter by ``images.transpose(0, 3, 1, 2)``, which
# copies nothing; kernels n x rows x columns x channels by the same transpose.

w = np.arange(16.0).reshape(2, 2, 2, 2)
a, b = F.conv2d(x, w), F.conv2d(last, w)
print((a == b).all(), a.strides, b.strides)

# %%
# Flattening goes by *shape*: first channel, its rows, its columns, then the next channel, whatever the memory order. A dense layer
# behind it therefore takes the weights of torch and ONNX as they are.

print(nn.Flatten()(x)[0])
print(nn.Flatten()(last)[0])

# %%
# A pixel of channel *c*, row *i*, column *j* stands at (c*H + i)*W + j:

c, i, j = 1, 2, 3
print((c * 3 + i) * 4 + j, nn.Flatten()(last)[0, 23], x[0, c, i, j])
