"""
Why shortcuts carry the gradient
================================

.. row:: 3.09 6.15 7.10

A residual block gives y = x + F(x), and so dx = dy + (dF/dx)ᵀ dy. Over many blocks, the input of the last is the input of the first plus all the F in
between; its derivative is 1 plus something. The 1 takes the gradient to the first layers, whatever the weights do.
"""

import numpy as np

import cconv
from cconv import explain, nn

branch = nn.Sequential(
    nn.Conv2d(1, 2, 3, padding=1, rng=0),
    nn.ReLU(),
    nn.Conv2d(2, 1, 3, padding=1, rng=1),
).astype(np.float64)
x = np.arange(9.0).reshape(1, 1, 3, 3) / 9
print(explain.residual(branch, x, np.ones((1, 1, 3, 3))))

# %%
# With F silent (all its weights zero) the gradient passes bit for bit:

for parameter in branch.parameters():
    parameter.data[...] = 0

block = nn.Sum(nn.Sequential(), branch)
y, backward = block.forward(x, True)
dy = np.random.default_rng(0).standard_normal(x.shape)
print((y == x).all(), (backward(dy) == dy).all())

# %%
# Where the shape changes, the shortcut is a 1x1 convolution, or (ResNet's option A) every other pixel, with zeros for the new channels:

down = nn.Sum(
    nn.Conv2d(16, 32, 1, stride=2, rng=0),
    nn.Conv2d(16, 32, 3, stride=2, padding=1, rng=1),
)
down(np.zeros((1, 16, 8, 8), np.float32)).shape

# %%
# Gradients along a deep network
# ------------------------------
#
# Without shortcuts and normalisation, sigmoids in every layer: the first layers get almost nothing to learn from. With batch norm, ReLU and shortcuts they get as much as the last convolution. (The last bar is the dense layer.)
# (It is said that the first layers learn slowly and the last fast; this is the measurement.)

rng = np.random.default_rng(0)
images = rng.standard_normal((16, 8, 12, 12)).astype(np.float32)
labels = rng.integers(0, 10, 16)


def plain(depth):
    layers = []
    for n in range(depth):
        layers += [nn.Conv2d(8, 8, 3, padding=1, rng=n), nn.Sigmoid()]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10, rng=0)
    )


def residual(depth):
    layers = []
    for n in range(depth):
        inner = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, rng=n), nn.BatchNorm2d(8), nn.ReLU()
        )
        layers.append(nn.Sum(nn.Sequential(), inner))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10, rng=0)
    )


plain_gradients = cconv.plot.gradient_flow(cconv.Model(plain(10)), images, labels)

# %%
residual_gradients = cconv.plot.gradient_flow(cconv.Model(residual(10)), images, labels)

# %%
for name, net in {"plain": plain(10), "residual": residual(10)}.items():
    sizes = explain.gradient_flow(cconv.Model(net), images, labels).sizes
    print(f"{name:9} first layer {sizes[0]:.1e}, last convolution {sizes[-2]:.1e}")
