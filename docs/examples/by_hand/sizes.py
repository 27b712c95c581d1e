"""
Padding, stride, dilation: the size of the output
=================================================

.. row:: 1.06 1.09 1.10 1.11 1.23

One formula serves all: n inputs, padding before and after, a kernel whose extent is D(K-1)+1 when its K taps stand D apart, and stride S.
"""

import numpy as np

import cconv.functional as F
from cconv import explain

print(explain.output_shape(227, 11, stride=4))

# %%
# The usual cases, on a map of 8x8:

cases = ((3, 1, 1), ((5, 3), (2, 1), 1), (3, 1, 2), ((3, 5), (0, 1), (3, 4)))
for kernel, padding, stride in cases:
    shape = explain.output_shape((8, 8), kernel, stride, padding).shape
    print(f"kernel {kernel}, padding {padding}, stride {stride}: {shape}")

# %%
# Zeros around a 3x3 image, and a stride of 3 down and 2 across:

x, w = np.arange(9.0).reshape(1, 1, 3, 3), np.arange(4.0).reshape(1, 1, 2, 2)
print(F.conv2d(x, w, padding=1)[0, 0])
print(F.conv2d(x, w, padding=1, stride=(3, 2))[0, 0])

# %%
# Keeping the size
# ----------------
#
# It is often said that the padding that keeps the size depends on the *number* of kernels; correct is their *size*: P = (K-1)/2 on each side, and with dilation
# P = D(K-1)/2. When D(K-1) is odd, the sides cannot be equal: ``'same'`` puts the larger half at the end (as TensorFlow and ONNX's SAME_UPPER do),
# ``'same_lower'`` at the start.

for kernel, dilation in ((3, 1), (3, 2), (5, 3), (2, 1), (4, 3)):
    page = explain.same_padding(kernel, dilation)
    print(f"K {kernel}, D {dilation}: {page.same} or {page.same_lower}")

# %%
print(explain.same_padding(3, 2))

# %%
# Dilation spreads the kernel: K' = K + (K-1)(D-1). ``nn.Conv2d`` takes a number or a pair (rows, columns), as Keras's ``dilation_rate`` does.

y = F.conv2d(np.ones((1, 1, 9, 9)), np.ones((1, 1, 3, 3)), dilation=(2, 3))
y.shape

# %%
# Without padding images shrink
# -----------------------------
#
# Each 5x5 layer takes 4 rows and columns away. From 224 to 4:

page = explain.depth_to(224, 5, 4)
print(page.layers, page.sizes[:5], "...", page.sizes[-3:])
