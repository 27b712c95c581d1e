"""
Pooling
=======

.. row:: 4.01 4.02 4.03 4.04 4.05 4.06 4.07

A pool replaces a window by one number, its maximum or its mean: downsampling by a local statistic. It works on each channel by itself, and has a window, a stride and
a padding as a convolution does; weights it has none.
"""

import numpy as np

import cconv.functional as F
from cconv import nn

x = np.arange(9.0).reshape(1, 1, 3, 3)
print(F.max_pool2d(x, 2, stride=1)[0, 0])
print(F.avg_pool2d(x, 2, stride=1)[0, 0])

# %%
# Stride and padding, and two channels that do not see each other:

a = np.arange(16.0).reshape(1, 1, 4, 4)
print(F.max_pool2d(a, 3)[0, 0])
print(F.max_pool2d(a, (2, 3), stride=(2, 3), padding=(0, 1))[0, 0])
print(F.max_pool2d(np.concatenate([a, a + 1], axis=1), 3, stride=2, padding=1)[0])

# %%
# Why: a shift by one pixel
# -------------------------
#
# An edge detector answers at one column exactly. Move the picture by one pixel, and nothing is left of the answer where it was:

edge = np.ones((1, 1, 4, 10))
edge[..., 5:] = 0
shifted = np.ones((1, 1, 4, 10))
shifted[..., 6:] = 0
kernel = np.array([1.0, -1.0]).reshape(1, 1, 1, 2)
before, after = F.conv2d(edge, kernel), F.conv2d(shifted, kernel)
print(before[0, 0, 0])
print(after[0, 0, 0])

# %%
# Behind a maximum over pairs of columns both pictures look the same:

print(F.max_pool2d(before, (1, 2))[0, 0, 0])
print(F.max_pool2d(after, (1, 2))[0, 0, 0])

# %%
# Some invariance, not all: had the edge moved across the border of a window, the answer would have moved with it. Overlapping windows soften that.
#
# Pools that give the image up
# ----------------------------
#
# The mean over the whole map leaves one number a channel. Network in network ends in it, in place of dense layers:

maps = np.random.default_rng(8).standard_normal((2, 5, 4, 7))
pooled = nn.AdaptiveAvgPool2d(1)(maps)
print(pooled.shape, np.abs(pooled[..., 0, 0] - maps.mean(axis=(2, 3))).max() < 1e-12)

# %%
# A pool with weights: LeNet-5 in 1998 multiplied the sum of each 2x2 window by a learnt factor and added a learnt bias, two numbers a channel.

layer = nn.Subsampling(6)
print(
    sum(parameter.size for parameter in layer.parameters()), "parameters for 6 channels"
)
