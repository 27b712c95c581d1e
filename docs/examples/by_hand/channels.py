"""
Channels, colours, one and three dimensions
===========================================

.. row:: 1.12 1.13 1.17 1.19 1.21 9.05

An image has channels: red, green, blue, or the maps that the layer before made. A kernel has one plane for each; the results are added.
"""

import numpy as np

import cconv.functional as F
from cconv import explain, nn

x = np.arange(9.0).reshape(3, 3)
w = np.arange(4.0).reshape(2, 2)
image = np.stack([x, x + 1])[None]
kernel = np.stack([w, w + 1])[None]
F.conv2d(image, kernel)[0]

# %%
# Several kernels make several output channels: their number is the layer's own choice.

F.conv2d(image, np.concatenate([kernel, kernel + 1, kernel + 2]))[0]

# %%
# Why not grey?
# -------------
#
# Two pixels, one red and one green, of the same lightness. As grey pictures they are the same, and no network can tell them apart any more. Three channels
# keep what lies between them:

colours = np.zeros((1, 3, 1, 2))
colours[0, :, 0, 0] = 0.587, 0.0, 0.0
colours[0, :, 0, 1] = 0.0, 0.299, 0.0
to_grey = np.array([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
red_against_green = np.array([1.0, -1.0, 0.0]).reshape(1, 3, 1, 1)
print("grey     ", F.conv2d(colours, to_grey)[0, 0])
print("red-green", F.conv2d(colours, red_against_green)[0, 0])

# %%
# Grey is itself a 1x1 convolution, with one output channel: it throws away two thirds of the numbers before anything has been learnt.
#
# One and three dimensions
# ------------------------
#
# Sequences (sound, language) have one axis, films and scans three. A three-dimensional kernel of depth 1 goes frame by frame:

print(F.conv1d(np.arange(1.0, 6)[None, None], np.array([[[1.0, 2.0, 3.0]]])))
rng = np.random.default_rng(0)
film = rng.integers(-5, 6, (1, 3, 4, 6, 7)).astype(float)
flat = rng.integers(-5, 6, (5, 3, 1, 3, 3)).astype(float)
whole = F.conv3d(film, flat, padding=(0, 1, 1))
frames = [F.conv2d(film[:, :, t], flat[:, :, 0], padding=1) for t in range(4)]
print((whole == np.stack(frames, axis=2)).all())

# %%
# Movement needs depth in time. A dot that moves by one pixel a frame: the difference of two frames sees where it came and went.

dot = np.zeros((1, 1, 3, 1, 5))
for t in range(3):
    dot[0, 0, t, 0, t + 1] = 1

F.conv3d(dot, np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1))[0, 0, :, 0]

# %%
# Local, shared, and still far-sighted
# ------------------------------------
#
# A dense layer from 8x8 to 6x6 pixels has 64*36 weights. The convolution with a 3x3 kernel is such a layer, with most weights zero and the rest
# nine numbers, shared:

matrix = explain.affine_matrix(np.arange(1.0, 10).reshape(3, 3), (8, 8))
print(
    *("entries", matrix.size, "not zero", np.count_nonzero(matrix)),
    *("different", len(np.unique(matrix)) - 1),
)

# %%
# Two 3x3 layers see as far as one 5x5, three as far as 7x7, with fewer weights (18 against 25, 27 against 49) and a nonlinearity between them.
# Which outputs does a single lit pixel reach?

for layers in (1, 2, 3):
    options = {"padding": 1, "bias": False, "dtype": np.float64}
    net = nn.Sequential(*[nn.Conv2d(1, 1, 3, **options) for _ in range(layers)])
    for parameter in net.parameters():
        parameter.data[...] = 1
    pixel = np.zeros((1, 1, 11, 11))
    pixel[0, 0, 5, 5] = 1
    reached = np.argwhere(net(pixel)[0, 0])
    print("layers:", layers, "field:", np.ptp(reached, axis=0) + 1)
