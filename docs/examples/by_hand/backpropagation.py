"""
Back-propagation by hand
========================

.. row:: 3.01 3.02 3.03 3.04 3.05 3.06 3.07 3.08 3.11 3.12

Each kind of layer, on numbers small enough to follow. ``explain.backward`` runs the layer that trains networks, and writes out where its gradients come from.

Convolution
-----------

Three channels in, two out, kernels of 2x2. The input's gradient: pad dy, turn the kernels by 180 degrees, sum over *output* channels. The weights' gradient: the input under
dy, *without* turning, for each pair of channels. The bias: the sum of dy over its channel.
"""

import numpy as np

import cconv.functional as F
from cconv import explain, nn

layer = nn.Conv2d(3, 2, 2, dtype=np.float64)
layer.weight.data[...] = np.arange(24).reshape(2, 3, 2, 2) - 11
layer.bias.data[...] = 0
x = np.arange(27.0).reshape(1, 3, 3, 3) % 5
dy = np.array([[[[1.0, 0.0], [0.0, -1.0]], [[2.0, 1.0], [0.0, 1.0]]]])
page = explain.backward(layer, x, dy)
print(page)

# %%
# The two rules again, with the forward function:

turned = layer.weight.data[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
print((F.conv2d(dy, turned, padding="full") == page.dx).all())
dw = F.conv2d(x.transpose(1, 0, 2, 3), dy.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
print((dw == page.dweight).all())
print((dy.sum((0, 2, 3)) == page.dbias).all())

# %%
# Maximum
# -------
#
# A maximum depends on one input alone. The layer remembers where it stood; the gradient goes there, and 0 everywhere else. Of equal inputs
# the first one, row by row, counts as the maximum.

x = np.zeros((1, 1, 4, 4))
x[0, 0, 0, 0] = x[0, 0, 1, 3] = x[0, 0, 2, 1] = x[0, 0, 3, 2] = 1
dy = np.array([[[[2.0, 8.0], [4.0, 6.0]]]])
print(explain.backward(nn.MaxPool2d(2), x, dy))

# %%
# Mean
# ----
#
# Every place of the window had the same share in the mean, and gets the same share of the gradient.

print(explain.backward(nn.AvgPool2d(2), x, dy))

# %%
# Dense
# -----
#
# dx = dy W, dW = dyᵀx, db = the sum of dy over the batch. An activation in front multiplies dx by its derivative.

dense = nn.Linear(3, 2, dtype=np.float64)
dense.weight.data[...] = [[1, 2, 3], [4, 5, 6]]
dense.bias.data[...] = 0
x, dy = [[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
print(explain.backward(dense, x, dy))

# %%
# Batch norm
# ----------
#
# Mean and variance depend on every value of the batch; so does each gradient.

norm = nn.BatchNorm1d(2, dtype=np.float64)
x, dy = [[1.0, 4.0], [2.0, 2.0], [6.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
page = explain.backward(norm, x, dy)
print(page)
print(
    "by hand and by the kernel agree:", np.abs(page.dx - page.dx_by_hand).max() < 1e-12
)

# %%
# Softmax with cross-entropy
# --------------------------
#
# The gradient is p - onehot(y), divided by the batch's size when the loss is a mean. Libraries differ in that default from texts, which often sum over the batch: here ``reduction='mean'``
# unless you say ``'sum'``.

logits, target = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), np.array([2, 0])
p = F.softmax(logits)
for reduction in ("mean", "sum"):
    loss, backward = nn.CrossEntropyLoss(reduction=reduction).forward(logits, target)
    print(reduction, loss)
    print(backward())

print(p - np.eye(3)[target])

# %%
# Equal logits know nothing: the loss of ten classes is ln 10, that of a thousand ln 1000.

print(F.cross_entropy(np.zeros((1, 10)), np.array([3])), np.log(10))
print(F.cross_entropy(np.zeros((1, 1000)), np.array([3])), np.log(1000))

# %%
# Finite differences, the last judge
# ----------------------------------

rng = np.random.default_rng(7)
x, w = rng.standard_normal((2, 3, 5, 6)), rng.standard_normal((4, 3, 3, 2))
dy = rng.standard_normal((2, 4, 3, 4))
options = {"stride": 2, "padding": 1}
dx = F.conv2d_backward_data(dy, w, (5, 6), **options)
numeric = np.zeros_like(x)
for place in np.ndindex(x.shape):
    step = np.zeros_like(x)
    step[place] = 1e-5
    difference = F.conv2d(x + step, w, **options) - F.conv2d(x - step, w, **options)
    numeric[place] = (difference * dy).sum() / 2e-5

print(
    f"largest relative difference {np.abs(dx - numeric).max() / np.abs(dx).max():.1e}"
)
