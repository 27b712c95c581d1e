"""
AlexNet
=======

.. row:: 6.04 6.05 6.06 9.04

Five convolutions, three dense layers, ReLU, dropout, and two graphics cards: the network that won ImageNet in 2012.
"""

import cconv
from cconv import models, nn

net = models.alexnet(rng=0)
print(cconv.Model(net).summary((3, 224, 224)))

# %%
# Sometimes its parameters are given as 600 million. There are 60 million: 61,100,840 in torchvision's form above, 60,965,224 in the paper's. Nearly all of them sit in
# the dense layers:

dense = sum(p.size for _, layer in net.named_layers() if isinstance(layer, nn.Linear) for p in layer.parameters())
print(
    f"{dense:,} of {sum(p.size for p in net.parameters()):,} are dense: {dense / sum(p.size for p in net.parameters()):.0%}"
)

# %%
# The paper
# ---------
#
# In 2012 convolutions 2, 4 and 5 were cut into two *groups*, one a card; the input is 227x227 (the paper prints 224); and local response normalisation
# divides each value by the size of its neighbours in other channels:

paper = models.alexnet(variant="paper", rng=0)
for name, layer in paper.named_layers():
    if isinstance(layer, (nn.Conv2d, nn.LocalResponseNorm)):
        print(f"{name:12} {layer}")

# %%
# The other forms: Caffe's has no groups, and d2l's reads one channel and tells ten classes apart.

for variant in ("torchvision", "paper", "caffe", "d2l"):
    net = models.alexnet(variant=variant, rng=0)
    print(f"{variant:12} {sum(p.size for p in net.parameters()):,}")

# %%
# A small relative
# ----------------
#
# The same sequence of ideas, for digits of 28x28: large kernels first, overlapping pools, dropout in front of the dense layers.

small = nn.Sequential(
    nn.Conv2d(1, 16, 5, stride=2, padding=2, rng=0), nn.ReLU(), nn.LocalResponseNorm(5, 1e-4, 0.75, 2), nn.MaxPool2d(3, 2),
    nn.Conv2d(16, 32, 3, padding=1, rng=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1, groups=2, rng=2), nn.ReLU(),
    nn.MaxPool2d(3, 2), nn.Flatten(),
    nn.Dropout(0.5, rng=3), nn.Linear(32 * 2 * 2, 128, rng=4), nn.ReLU(), nn.Dropout(0.5, rng=5), nn.Linear(128, 10, rng=6),
)  # fmt: skip
(x, y), test = cconv.data.digits()
model = cconv.Model(small, optimizer=cconv.optim.Adam(2e-3))
history = model.fit(x, y, batch_size=64, epochs=10, validation_data=test, verbose=0)
curves = cconv.plot.learning_curves(history)
print(model.evaluate(*test))
