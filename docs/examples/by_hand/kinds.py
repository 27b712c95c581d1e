"""
Convolution or correlation, narrow or wide
==========================================

.. row:: 1.01 1.02 1.03 1.18

Layers are called convolutions. What they compute is *cross-correlation*: the kernel is laid over the image as it is. True convolution turns it by 180 degrees
first. For learning it makes no difference, since a layer would learn the turned kernel; for formulas it does.
"""

import numpy as np

import cconv.functional as F
from cconv import explain

x, w = np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(2, 2)
print(explain.convolution_or_correlation(x, w))

# %%
# Narrow, equal width, wide
# -------------------------
#
# With M inputs and a kernel of K: no padding gives M-K+1 outputs, (K-1)/2 zeros on each side M, K-1 zeros M+K-1.

row, kernel = np.arange(1.0, 8).reshape(1, 1, 7), np.array([[[1.0, 2.0, 3.0]]])
for padding in ("valid", "same", "full", 2, ((0, 2),)):
    y = F.conv1d(row, kernel, padding=padding)
    print(f"{padding!s:10} {y.shape[-1]:2} {y[0, 0]}")

# %%
# Wide convolution commutes
# -------------------------
#
# Image and kernel may change places if both are turned: rot180(W) over X, wide, is rot180(X) over W. Without the turn the two sides differ, and each
# is the other turned by 180 degrees.

page = explain.commutativity(x, w)
print(page)
print((page.left == page.right).all())
print((page.correlation_left == page.correlation_right[::-1, ::-1]).all())

# %%
# Not a matter of these numbers: random shapes, small integers, exact equality.

rng = np.random.default_rng(0)
for _ in range(100):
    a = rng.integers(-9, 10, rng.integers(1, 7, 2))
    b = rng.integers(-9, 10, rng.integers(1, 7, 2))
    page = explain.commutativity(a, b)
    assert (page.left == page.right).all()

print("100 of 100")
