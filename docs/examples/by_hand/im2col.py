"""
im2col: convolution as a matrix product
=======================================

.. row:: 2.02 2.03 2.04 2.05

Copy what lies under the kernel, for each place, into a column; then one matrix product is the whole convolution. Matrix products are the best tuned program on any
machine, which is why Caffe and MXNet went this way. The price is memory.
"""

import numpy as np

import cconv.functional as F
from cconv import explain

x, w = np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(1, 1, 2, 2)
print(explain.im2col(x, 2, weight=w))

# %%
# AlexNet's first layer: 227x227 pixels in three colours, 96 kernels of 11x11, stride 4. (227-11)/4+1 = 55 places in each direction.

image = np.zeros((1, 3, 227, 227), np.float32)
page = explain.im2col(image, 11, weight=np.zeros((96, 3, 11, 11), np.float32), stride=4)
print(page.columns.shape, page.rows.shape, page.product.shape)
print(f"{page.columns.size:,} values out of {image.size:,}, {page.bytes:,} bytes")
print(f"{page.duplication:.2f} times as many")

# %%
# The library's own ``algo='im2col'`` works in tiles, so that its memory stays bounded.
#
# Pooling is a maximum over the same columns:

maps = np.random.default_rng(4).standard_normal((2, 3, 8, 10))
columns = F.im2col(maps.reshape(6, 1, 8, 10), 2, stride=2)
print((columns.max(axis=1).reshape(2, 3, 4, 5) == F.max_pool2d(maps, 2)).all())

# %%
# The way back
# ------------
#
# ``col2im`` adds the columns up where they came from. It is the adjoint of ``im2col``, which gradients need, and not its inverse: pixels
# that were copied four times come back four times as large. ⟨im2col x, z⟩ = ⟨x, col2im z⟩, exactly, on integers:

rng = np.random.default_rng(5)
a = rng.integers(-9, 9, (2, 3, 7, 6)).astype(float)
columns = F.im2col(a, (3, 2), stride=2, padding=1)
z = rng.integers(-9, 9, columns.shape).astype(float)
print((columns * z).sum(), (a * F.col2im(z, (7, 6), (3, 2), stride=2, padding=1)).sum())
print(F.col2im(F.im2col(np.ones((1, 1, 3, 3)), 2), (3, 3), 2)[0, 0])
