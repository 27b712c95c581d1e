"""
ResNet
======

.. row:: 6.15 6.16 6.17

A block adds its input to its output. What it has to learn is the difference from doing nothing, and gradients have a way around every weight:
:doc:`/generated/by_hand/residual` has the formula.
"""

import numpy as np

import cconv
from cconv import models, nn

net = models.resnet18(rng=0)
summary = cconv.Model(net).summary((3, 224, 224))

# %%
# A block is an expression: a sum of a branch and a shortcut. The empty ``Sequential`` is the identity.

block = nn.Sum(
    nn.Sequential(
        nn.Conv2d(16, 16, 3, padding=1, bias=False, rng=0), nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, bias=False, rng=1), nn.BatchNorm2d(16),
    ),
    nn.Sequential(),
)  # fmt: skip
print(block)

# %%
# The family. From 50 layers on, blocks are bottlenecks (1x1, 3x3, 1x1). Those for CIFAR-10's 32x32 pixels have 6n+2 layers and three widths.

for name, options in (
    ("resnet18", {}),
    ("resnet18", {"num_classes": 10}),
    ("resnet18", {"variant": "d2l"}),
    ("resnet34", {}),
    ("resnet50", {}),
    ("resnet20", {}),
    ("resnet20", {"shortcut": "B"}),
    ("resnet56", {}),
):
    net = models.create(name, rng=0, **options)
    print(f"{name} {sum(p.size for p in net.parameters()):11,} {options or ''}")

# %%
# Option A fills the new channels of a shortcut with zeros and has no weights; option B has a 1x1 convolution there; ``"plain"`` has no shortcuts at all, for comparison:
# :doc:`/generated/by_hand/depth`.
#
# The networks themselves
# -----------------------
#
# A few steps of ResNet-18 on four digits, enlarged to 224x224 pixels; the loss begins near ln 1000 = 6.91:

(x, y), test = cconv.data.digits()
images = np.repeat(np.kron(x[:4], np.ones((8, 8))), 3, axis=1)
optimizer = cconv.optim.SGD(0.02, momentum=0.9)
model = cconv.Model(models.resnet18(rng=0), optimizer=optimizer)
losses = [model.train_on_batch(images, y[:4])["loss"] for _ in range(5)]
print(images.shape, *(f"{loss:.2f}" for loss in losses))

# %%
# ResNet-20 is small enough to be trained here as it is. Reduced are the images alone: 16x16 pixels and one channel, where CIFAR-10 has 32x32 and three. Five epochs:

(x, y), test = cconv.data.digits(16)
net = models.resnet20(in_channels=1, rng=0)
model = cconv.Model(net, optimizer=cconv.optim.SGD(0.05, momentum=0.9))
history = model.fit(x, y, batch_size=64, epochs=5, validation_data=test, verbose=0)
print(model.evaluate(*test))

# %%
curves = cconv.plot.learning_curves(history)
