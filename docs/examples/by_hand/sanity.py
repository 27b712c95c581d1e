"""
Is it broken? Four quick checks
===============================

.. row:: 8.01 8.02 8.03 8.04 8.05 8.06

Before a long training: fixed inputs with known answers, the first loss, a gradient check, and fifty samples learnt by heart.

Fixed inputs
------------

``linspace`` in place of random numbers: the same array everywhere, so that the answer can be printed in a book and compared to the last digit. These are the numbers of
Stanford's course CS231n.
"""

import numpy as np

import cconv
import cconv.functional as F
from cconv import nn

x = np.linspace(-0.1, 0.5, 240).reshape(2, 120)
w = np.linspace(-0.2, 0.3, 360).reshape(120, 3)
print(F.linear(x, w.T, np.linspace(-0.3, 0.1, 3)))
x = np.linspace(-0.1, 0.5, 96).reshape(2, 3, 4, 4)
w = np.linspace(-0.2, 0.3, 144).reshape(3, 3, 4, 4)
print(F.conv2d(x, w, np.linspace(-0.1, 0.2, 3), stride=2, padding=1))
print(F.max_pool2d(np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4), 2)[0, 0])
print(F.relu(np.linspace(-0.5, 0.5, 12).reshape(3, 4)))

# %%
# The first loss
# --------------
#
# A network that knows nothing gives ten classes the same probability: its loss is ln 10 = 2.303. Much more means first weights that are too large.

(x, y), _ = cconv.data.digits(8)
x, y = x[:50], y[:50]


def network(depth, scale):
    rng = np.random.default_rng(0)
    sizes = [64, *[100] * depth, 10]
    layers = [nn.Flatten()]
    for features, wanted in zip(sizes[:-1], sizes[1:], strict=True):
        linear = nn.Linear(features, wanted)
        linear.weight.data[...] = rng.standard_normal((wanted, features)) * scale
        linear.bias.data[...] = 0
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


for scale in (0.01, 0.1, 1.0):
    loss = cconv.Model(network(3, scale)).evaluate(x, y)["loss"]
    print(f"scale {scale:4}: first loss {loss:.4g}")

# %%
# The gradient check
# ------------------
#
# Move a weight a little, and see whether the loss follows as its gradient says. ``gradcheck`` does so for some entries of each array, in double precision on
# a copy of the network, and names the worst one:

report = cconv.Model(network(3, 0.1)).gradcheck(x[:8], y[:8])
print(report)

# %%
# Fifty by heart
# --------------
#
# A network that cannot learn fifty samples by heart is broken, or its first weights are: the deeper it is, the larger they must be, or signals die on the way.

scales = (0.001, 0.01, 0.05, 0.1, 0.2)
print("layers " + "".join(f"{scale:>8}" for scale in scales))
for depth in (2, 3, 5):
    reached = []
    for scale in scales:
        model = cconv.Model(network(depth, scale), optimizer=cconv.optim.Adam(2e-3))
        model.fit(x, y, batch_size=25, epochs=60, verbose=0)
        reached.append(model.evaluate(x, y)["accuracy"])
    print(f"{depth:6} " + "".join(f"{accuracy:8.2f}" for accuracy in reached))

# %%
# ``cconv check NETWORK`` runs the first loss, a gradient check, the effect of a penalty on the weights, and fifty samples by heart, for any network
# by name: :doc:`/command_line`.
