"""
An edge detector, and how a layer learns it
===========================================

.. row:: 1.16

A white picture with a black bar. The kernel [1, -1] subtracts each pixel from its left neighbour: it answers where the brightness changes, and nowhere else.
"""

import matplotlib.pyplot as plt
import numpy as np

import cconv.functional as F
from cconv import nn

x = np.ones((1, 1, 6, 8))
x[..., 2:6] = 0
y = F.conv2d(x, np.array([1.0, -1.0]).reshape(1, 1, 1, 2))
print(y[0, 0])

figure, axes = plt.subplots(1, 2, figsize=(6, 2.4), layout="constrained")
for one, picture, title in zip(axes, (x, y), ("image", "edges"), strict=True):
    one.imshow(picture[0, 0], cmap="gray")
    one.set(title=title, xticks=[], yticks=[])

# %%
# It sees vertical edges only. On the picture turned by 90 degrees it is blind:

print(
    F.conv2d(x.transpose(0, 1, 3, 2), np.array([1.0, -1.0]).reshape(1, 1, 1, 2)).any()
)

# %%
# Nobody has to design it. Start from zeros, show the layer pictures and answers, and follow the gradient of the squared error:

layer = nn.Conv2d(1, 1, (1, 2), bias=False, dtype=np.float64)
layer.weight.data[...] = 0
for step in range(1, 11):
    out, backward = layer.forward(x, True)
    layer.zero_grad()
    backward(2 * (out - y))
    layer.weight.data[...] -= 0.03 * layer.weight.grad
    if step % 2 == 0:
        print(f"step {step:2}, loss {((out - y) ** 2).sum():.6f}")

print(layer.weight.data.ravel())

# %%
# From random weights the way is another one, and the end the same:

for seed in range(3):
    layer = nn.Conv2d(1, 1, (1, 2), bias=False, rng=seed, dtype=np.float64)
    for _ in range(40):
        out, backward = layer.forward(x, True)
        layer.zero_grad()
        backward(2 * (out - y))
        layer.weight.data[...] -= 0.03 * layer.weight.grad
    print(layer.weight.data.ravel())
