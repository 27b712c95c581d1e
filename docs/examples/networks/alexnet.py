"""
AlexNet
=======

.. row:: 6.04 6.05 6.06 9.04

Five convolutions, three dense layers, ReLU, dropout, and two graphics cards: the network that won ImageNet in 2012.
"""

import numpy as np

import cconv
from cconv import models, nn
from cconv.summary import summary

net = models.alexnet(rng=0)
print(summary(net, (3, 224, 224)))

# %%
# Sometimes its parameters are given as 600 million. There are 60 million: 61,100,840 in torchvision's form above, 60,965,224 in the paper's. Nearly all of them sit in
# the dense layers:

dense = sum(
    p.size
    for _, layer in net.named_layers()
    if isinstance(layer, nn.Linear)
    for p in layer.parameters()
)
count = sum(p.size for p in net.parameters())
print(f"{dense:,} of {count:,} are dense: {dense / count:.0%}")

# %%
# The paper
# ---------
#
# In 2012 convolutions 2, 4 and 5 were cut into two *groups*, one a card; the input is 227x227 (the paper prints 224); and local response normalisation
# divides each value by the size of its neighbours in other channels (its alpha is 0.0001 in the paper; torch, and here, alpha is divided by the number of
# neighbours, five):

paper = models.alexnet(variant="paper", rng=0)
for name, layer in paper.named_layers():
    if isinstance(layer, (nn.Conv2d, nn.LocalResponseNorm)):
        print(f"{name:12} {layer}")

# %%
# Its "650,000 neurons" are the outputs of these layers and of the dense ones:

table = summary(paper, (3, 227, 227))
shapes = [row.output_shape for row in table if row.type in ("Conv2d", "Linear")]
print(f"{sum(np.prod(shape) for shape in shapes):,} neurons")

# %%
# The other forms: Caffe's has no groups, and d2l's reads one channel and tells ten classes apart.

for variant in ("torchvision", "paper", "caffe", "d2l"):
    net = models.alexnet(variant=variant, rng=0)
    print(f"{variant:12} {sum(p.size for p in net.parameters()):,}")

# %%
# The network itself
# ------------------
#
# It was trained on 1.2 million images for six days; here are a few steps on eight digits, enlarged to its 224x224 pixels. The loss begins at
# ln 1000 = 6.91:

(x, y), test = cconv.data.digits()
images = np.repeat(np.kron(x[:8], np.ones((8, 8))), 3, axis=1)
optimizer = cconv.optim.SGD(0.02, momentum=0.9)
model = cconv.Model(models.alexnet(rng=0), optimizer=optimizer)
losses = [model.train_on_batch(images, y[:8])["loss"] for _ in range(6)]
print(images.shape, *(f"{loss:.2f}" for loss in losses))

# %%
# A small relative
# ----------------
#
# What can be trained while this page is built has the same sequence of ideas: large kernels first, overlapping pools, local response normalisation, groups, dropout in front of the dense
# layers. Reduced, because digits of 28x28 hold so much less than photographs of 224x224: three convolutions instead of five, at most 32 channels instead of
# 384, dense layers of 128 instead of 4096.

small = nn.Sequential(
    nn.Conv2d(1, 16, 5, stride=2, padding=2, rng=0), nn.ReLU(),
    nn.LocalResponseNorm(5, 1e-4, 0.75, 2), nn.MaxPool2d(3, 2),
    nn.Conv2d(16, 32, 3, padding=1, rng=1), nn.ReLU(),
    nn.Conv2d(32, 32, 3, padding=1, groups=2, rng=2), nn.ReLU(),
    nn.MaxPool2d(3, 2), nn.Flatten(),
    nn.Dropout(0.5, rng=3), nn.Linear(32 * 2 * 2, 128, rng=4), nn.ReLU(),
    nn.Dropout(0.5, rng=5), nn.Linear(128, 10, rng=6),
)  # fmt: skip
model = cconv.Model(small, optimizer=cconv.optim.Adam(2e-3))
history = model.fit(x, y, batch_size=64, epochs=10, validation_data=test, verbose=0)
curves = cconv.plot.learning_curves(history)
print(model.evaluate(*test))
