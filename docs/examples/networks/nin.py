"""
Network in network
==================

.. row:: 6.11

Its idea is sometimes given as "no convolution layers at all". It is the reverse: no *dense* layers at all. Each block is a convolution with two 1x1 convolutions behind it, a small
dense network at every pixel; the last block has as many *output* channels as there are classes, and the mean over each map is the class's score.
"""

import numpy as np

import cconv
from cconv import models, nn

net = models.nin(rng=0)
summary = cconv.Model(net).summary((1, 224, 224))

# %%
# Which layers have weights?

layers = [layer for _, layer in net.named_layers()]
print({type(layer).__name__ for layer in layers if hasattr(layer, "weight")})

# %%
for variant in ("d2l", "caffe", "cifar10"):
    net_of = models.nin(variant=variant, rng=0)
    print(f"{variant:8} {sum(p.size for p in net_of.parameters()):,}")

large = models.nin(1000, 3, rng=0)
print(f"d2l, 3 channels and 1000 classes {sum(p.size for p in large.parameters()):,}")

# %%
# The network itself
# ------------------
#
# A few steps on eight digits, enlarged to 224x224 pixels. (Without batch norm it is slow to start; d2l's run takes ten epochs of 60,000 images.) The loss begins near
# ln 10 = 2.30:

(x, y), test = cconv.data.digits()
images = np.kron(x[:8], np.ones((8, 8)))
model = cconv.Model(net, optimizer=cconv.optim.SGD(0.05, momentum=0.9))
losses = [model.train_on_batch(images, y[:8])["loss"] for _ in range(6)]
print(images.shape, *(f"{loss:.2f}" for loss in losses))

# %%
# A small relative
# ----------------
#
# Reduced, to learn in seconds from 1,500 digits of 28x28: three blocks instead of four, 16 and 32 channels instead of 96 to 384, and batch norm behind each
# convolution.


def block(c_in, c_out, k, rng, **options):
    layers = []
    for n, conv in enumerate(((c_in, c_out, k), (c_out, c_out, 1), (c_out, c_out, 1))):
        one = nn.Conv2d(*conv, rng=rng + n, **(options if n == 0 else {}))
        layers += [one, nn.BatchNorm2d(c_out), nn.ReLU()]
    return layers


small = nn.Sequential(
    *block(1, 16, 5, 0, padding=2), nn.MaxPool2d(3, 2),
    *block(16, 32, 3, 3, padding=1), nn.MaxPool2d(3, 2),
    *block(32, 10, 3, 6, padding=1)[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(),
)  # fmt: skip
model = cconv.Model(small, optimizer=cconv.optim.Adam(5e-3))
model.fit(x, y, batch_size=32, epochs=8, verbose=0)
print(f"{sum(p.size for p in small.parameters()):,} parameters", model.evaluate(*test))

# %%
# With no dense layer behind them, the maps of the last block are maps *of the classes*: where in the image is what speaks for each digit?

scores = nn.Sequential(*[layer for _, layer in small.named_children()][:-2])
maps = scores(test[0][:1])
print("maps", maps.shape, "the largest mean:", maps.mean(axis=(2, 3)).argmax())
print("the digit:", test[1][0])
