"""
VGG
===

.. row:: 6.07 6.08 6.09 6.10 9.02 9.03

Nothing but 3x3 kernels, in blocks, each followed by a pool that halves the image: depth by repetition. ReLU everywhere, and no local response normalisation: its authors tried it, and it did not
help.
"""

import numpy as np

import cconv
from cconv import models, nn

net = models.vgg16(rng=0)
summary = cconv.Model(net).summary((3, 224, 224))

# %%
# 140 million is often quoted as its *memory*. It is its number of parameters:

count = sum(p.size for p in net.parameters())
convolutions = sum(p.size for p in net["features"].parameters())
first_dense = next(
    layer for _, layer in net.named_layers() if isinstance(layer, nn.Linear)
)
first = sum(p.size for p in first_dense.parameters())
print(
    f"{count:,} parameters of 4 bytes: {4 * count:,} bytes, {4 * count / 2**20:.0f} MiB"
)
print(f"convolutions {convolutions:,}")
print(f"the first dense layer {first:,}, {first / count:.1%}")

# %%
# The family comes from one list of blocks. Configuration C has 1x1 kernels in place of some 3x3 ones.

for name in ("vgg11", "vgg13", "vgg16", "vgg19"):
    narrow = models.create(name, variant="cifar10", width=0.125, batch_norm=True, rng=0)
    kinds = [type(layer).__name__ for _, layer in narrow.named_layers()]
    shown = ("Conv2d", "BatchNorm2d", "MaxPool2d", "Linear")
    print(name, *(f"{kinds.count(kind)} {kind}" for kind in shown))

c = models.vgg16(variant="c", rng=0)
print(f"vgg16, configuration C: {sum(p.size for p in c.parameters()):,} parameters")
quarter = models.vgg11(variant="d2l", width=0.25, rng=0)
count = sum(p.size for p in quarter.parameters())
print(f"vgg11, d2l's form, a quarter as wide: {count:,} parameters")

# %%
# The recipe of the paper: subtract the mean colour of the training images, and nothing else. ``nn.Normalize(mean)`` does it inside the network.
# The keys of the weights are torchvision's, so its files load with ``load_state_dict``, to begin where others ended:

print(*list(net.state_dict())[:3], "...", list(net.state_dict())[-1])

# %%
# The network itself
# ------------------
#
# A few steps of VGG-16 on two digits, enlarged to 224x224 pixels; its training took weeks on four graphics cards. The loss begins at ln 1000 = 6.91:

(x, y), test = cconv.data.digits()
images = np.repeat(np.kron(x[:2], np.ones((8, 8))), 3, axis=1)
model = cconv.Model(net, optimizer=cconv.optim.SGD(0.005, momentum=0.9))
losses = [model.train_on_batch(images, y[:2])["loss"] for _ in range(5)]
print(images.shape, *(f"{loss:.2f}" for loss in losses))

# %%
# A small relative
# ----------------
#
# To learn all digits in seconds it is reduced: eleven layers, an eighth as wide (8 to 64 channels), images of 32x32, which its five pools just reduce to one pixel. So
# little depth would do without it, but with batch norm four epochs suffice.

(x, y), test = cconv.data.digits(32)
small = models.vgg11(
    variant="cifar10", in_channels=1, width=0.125, batch_norm=True, rng=0
)
model = cconv.Model(small, optimizer=cconv.optim.SGD(0.02, momentum=0.9))
history = model.fit(x, y, batch_size=64, epochs=4, validation_data=test, verbose=0)
print(f"{sum(p.size for p in small.parameters()):,} parameters", model.evaluate(*test))
kernels = cconv.plot.filters(small)
