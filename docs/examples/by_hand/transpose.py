"""
Why backward is the transpose of forward
========================================

From installation to the one idea behind back-propagation through a convolution, on nine numbers that you can follow.

.. row:: 1.04 1.05 3.01 3.02

Install the package (``pip install .`` in a clone of the repository), start Python, and take a 3x3 image with a 2x2 kernel:
"""

import numpy as np

import cconv.functional as F
from cconv import explain, nn

x = np.arange(9.0).reshape(3, 3)
w = np.arange(4.0).reshape(2, 2)
x, w

# %%
# A layer lays the kernel over every place where it fits, multiplies, and adds up. There are 2x2 such places.

y = F.conv2d(x[None, None], w[None, None])[0, 0]
y

# %%
# The top left result is 0*0 + 1*1 + 3*2 + 4*3 = 19. Every output is a sum of weights times inputs, so the whole layer is a
# *matrix*: write the image as a column of nine numbers and the output as a column of four. Row *i* of the matrix holds the
# weights with which the nine pixels enter output *i*. With names for the four weights:

print(explain.affine_symbols((2, 2), (3, 3)))

# %%
# Each row is the row above, moved on: that is what "sharing weights" looks like. With our numbers it is *C*, and *C* times the image is
# what the kernel computed:

C = np.asarray(explain.affine_matrix(w, (3, 3)))
C @ x.ravel()

# %%
# Back
# ----
#
# Training asks: if the outputs should change by ``dy``, what does each *input* have to do with it? Input *j* went into output *i* with the
# weight :math:`C_{ij}`. So it answers for :math:`C_{ij}` times what output *i* is asked, summed over all outputs it went into:
#
# .. math:: dx_j = \sum_i C_{ij}\, dy_i, \qquad\text{that is}\qquad dx = C^{\mathsf T} dy
#
# Forward runs along the *rows* of C, backward along its *columns*. Nothing else happens in back-propagation through a linear layer.
# Ask every output for 1:

dy = np.ones((2, 2))
(C.T @ dy.ravel()).reshape(3, 3)

# %%
# The corner pixels entered one output each, the pixel in the middle all four, with all four weights: 0 + 1 + 2 + 3 = 6. The backward
# pass of the library never makes the matrix, and agrees:

F.conv2d_backward_data(dy[None, None], w[None, None], (3, 3))[0, 0]

# %%
# Look at one pixel alone: which outputs did the middle one reach, and with which weight?

layer = nn.Conv2d(1, 1, 2, bias=False, dtype=np.float64)
layer.weight.data[0, 0] = w
page = explain.backward(layer, x[None, None])
page.paths((0, 1, 1))

# %%
# Top left output, last weight; bottom left output, second weight (the first weight is 0, so the bottom right output does not count). The kernel appears *turned by 180 degrees*. That is why the rule in
# books reads "pad dy, turn the kernel, convolve": it is the transpose, without zeros.

F.conv2d(dy[None, None], w[None, None, ::-1, ::-1], padding="full")[0, 0]

# %%
# Three checks
# ------------
#
# A transpose moves a matrix to the other side of a product: :math:`\langle Cx, z\rangle = \langle x, C^{\mathsf T}z\rangle` for
# every *z*.

z = np.array([[1.0, -2.0], [3.0, 5.0]])
back = F.conv2d_backward_data(z[None, None], w[None, None], (3, 3))[0, 0]
print((y * z).sum(), (x * back).sum())

# %%
# Finite differences: move one pixel a little, and see how the sum of the outputs follows.

moved = x.copy()
moved[1, 1] += 1e-6
print((F.conv2d(moved[None, None], w[None, None]).sum() - y.sum()) / 1e-6)

# %%
# In one dimension the same: five values, a kernel of three, and the matrix known as Toeplitz's.

print(explain.affine_symbols(3, 5))
C1 = explain.affine_matrix([1.0, 2.0, 3.0], 5)
z = np.array([1.0, 0.0, -1.0])
C1.T @ z, F.conv1d(z[None, None], np.array([[[3.0, 2.0, 1.0]]]), padding="full")[0, 0]

# %%
# Stride, padding, dilation, channels change the matrix and nothing in the argument. Try your own numbers: ``explain.transpose`` puts
# the whole story on one page, as does ``cconv explain transpose --x '3 1 4; 1 5 9; 2 6 5' --w '1 0; 0 -1'`` at the command line.

print(explain.transpose(w, x, stride=1, padding=1))
