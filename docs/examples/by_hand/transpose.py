"""
Why backward is the transpose of forward
========================================

From installation to the one idea behind back-propagation through a convolution, on nine numbers that you can follow.

.. row:: 1.04 1.05 3.01 3.02

You need Python 3.10 or newer and a C compiler. In a clone of the repository,

.. code-block:: bash

   python3 -m venv .venv && .venv/bin/pip install .
   source .venv/bin/activate
   cd ..

installs the package and leaves the clone (in it Python would find the sources, without their compiled core). ``python`` starts Python. Type
along (behind a loop, Enter once more), or put in numbers of your own: any 3x3 image and any 2x2 kernel will do, and every sentence that names a number has a line of code
that computes it.
"""

import numpy as np

import cconv.functional as F
from cconv import explain, nn

x = np.array([[3.0, 1.0, 4.0],
              [1.0, 5.0, 9.0],
              [2.0, 6.0, 5.0]])  # fmt: skip
w = np.array([[1.0, 2.0],
              [-1.0, 3.0]])  # fmt: skip

# %%
# Forward
# -------
#
# A layer lays the kernel over every place where it fits, multiplies what lies on top of each other, and adds up. There are 2x2 such places.
# Layers take many images of several channels at once; ``[None, None]`` makes *one* image of *one* channel out of a matrix, and ``[0, 0]`` takes
# it out again.

y = F.conv2d(x[None, None], w[None, None])[0, 0]
print(y)

# %%
# At the top left the kernel lies on the pixels 3, 1, 1 and 5:

print(1 * 3 + 2 * 1 + -1 * 1 + 3 * 5)

# %%
# Every output is a sum of weights times inputs, so the whole layer is a *matrix*: read the image row by row as nine numbers, and the output as
# four. Row *i* of the matrix holds the weights with which the nine pixels enter output *i*. With names for the four weights:

for row in explain.affine_symbols((2, 2), (3, 3)):
    print(*(f"{name:2}" for name in row))

# %%
# Four rows for four outputs, nine columns for nine pixels. Each row has the same four weights, moved on to the next place: that is what
# "sharing weights" looks like. With our numbers the matrix is *C*,

C = explain.affine_matrix(w, (3, 3))
print(C)

# %%
# and *C* times the image is what the layer computed:

print(C @ x.ravel())

# %%
# Back
# ----
#
# Training asks how the loss changes when a weight or an input does. Suppose that somebody told us ``dy``: by how much the loss grows when
# output *i* grows by 1, one number for each output. What follows for the *inputs*?
#
# Let pixel *j* grow by 1. Output *i* grows by :math:`C_{ij}`, the weight with which the pixel enters it, so the loss grows by
# :math:`C_{ij}\,dy_i`; and that once for each output, so all together by
#
# .. math:: dx_j = \sum_i C_{ij}\, dy_i
#
# The sum runs down *column* j of C; forward runs along the *rows*. A matrix whose rows are the columns of C is the transpose of C:
#
# .. math:: dx = C^{\mathsf T} dy
#
# That is all:
# backward is the transpose of forward because the loss reaches an input along the very weights by which the input reached the outputs.
#
# Let the loss be the sum of the outputs; then ``dy`` is 1 everywhere.

dy = np.ones((2, 2))
print((C.T @ dy.ravel()).reshape(3, 3))

# %%
# The pixel at the top left entered one output, with the first weight: 1. The pixel in the middle entered all four, with all four
# weights: 1 + 2 - 1 + 3 = 5. The layer's backward pass never makes the matrix, and agrees:

dx = F.conv2d_backward_data(dy[None, None], w[None, None], (3, 3))[0, 0]
print(dx)

# %%
# The kernel turned
# -----------------
#
# Look at the pixel in the middle alone, (1, 1) counted from 0. Which outputs did it reach, and with which weight?

layer = nn.Conv2d(1, 1, 2, bias=False, dtype=np.float64)
layer.weight.data[0, 0] = w
for output, weight in explain.backward(layer, x[None, None]).paths((0, 1, 1)):
    print("output", output[1:], "with the weight", weight)

# %%
# The output at the top left saw it under the *last* weight of the kernel, the one at the bottom right under the *first*: seen from a pixel, the
# kernel is turned by 180 degrees. That is why books give the rule as "pad dy with zeros, turn the kernel, convolve". It is the product with
# the transpose, without its zeros:

turned = w[::-1, ::-1]
print(F.conv2d(dy[None, None], turned[None, None], padding="full")[0, 0])

# %%
# Three checks
# ------------
#
# A transpose moves a matrix to the other side of a product: :math:`\langle Cx, z\rangle = \langle x, C^{\mathsf T}z\rangle` for
# every *z*, here four numbers at random.

z = np.random.default_rng(0).integers(-9, 10, (2, 2)).astype(float)
back = F.conv2d_backward_data(z[None, None], w[None, None], (3, 3))[0, 0]
print((y * z).sum(), (x * back).sum())

# %%
# Finite differences: move the pixel in the middle a little, and see how the sum of the outputs follows.

moved = x.copy()
moved[1, 1] += 1e-6
print((F.conv2d(moved[None, None], w[None, None]).sum() - y.sum()) / 1e-6, dx[1, 1])

# %%
# In one dimension the same: five values, a kernel of three, and a matrix that is known as Toeplitz's.

for row in explain.affine_symbols(3, 5):
    print(*(f"{name:2}" for name in row))

C1 = explain.affine_matrix([1.0, 2.0, 3.0], 5)
dy1 = np.array([1.0, 0.0, -1.0])
print(C1.T @ dy1)
print(F.conv1d(dy1[None, None], np.array([[[3.0, 2.0, 1.0]]]), padding="full")[0, 0])

# %%
# Your own numbers
# ----------------
#
# ``explain.transpose`` puts the whole story on one page. Stride, padding, dilation and channels change the matrix, and nothing in the argument:
# try ``stride=2`` or ``padding=1``. The command line does the same, in any folder:
#
# .. code-block:: bash
#
#    cconv explain transpose --x '3 1 4; 1 5 9; 2 6 5' --w '1 2; -1 3' --dy '1 0; 0 2'

print(explain.transpose(w, x, dy=[[1, 0], [0, 2]]))

# %%
# :doc:`backpropagation` goes on with the weights, and with the other layers.
