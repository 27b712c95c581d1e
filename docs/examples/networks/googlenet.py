"""
GoogLeNet
=========

.. row:: 6.12 6.13 6.14

Which kernel size is best? All of them: an Inception block runs 1x1, 3x3 and 5x5 convolutions and a pool side by side, each behind a cheap 1x1 layer, and concatenates their channels.
"""

import numpy as np

import cconv
from cconv import models, nn
from cconv.summary import summary

rng = np.random.default_rng(0)
block = nn.Concat(
    nn.Conv2d(192, 64, 1, bias=False, rng=rng),
    nn.Sequential(
        nn.Conv2d(192, 96, 1, bias=False, rng=rng),
        nn.Conv2d(96, 128, 3, padding=1, bias=False, rng=rng),
    ),
    nn.Sequential(
        nn.Conv2d(192, 16, 1, bias=False, rng=rng),
        nn.Conv2d(16, 32, 5, padding=2, bias=False, rng=rng),
    ),
    nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(192, 32, 1, bias=False, rng=rng)),
)
print(block(np.zeros((1, 192, 28, 28), np.float32)).shape)
print(f"{sum(p.size for p in block.parameters()):,} weights")

# %%
# It is sometimes called the first network of more than 100 layers. It has 22 layers with weights in the paper's count (27 with pools); the 100 are its building blocks. Counted one by one:

net = models.googlenet(rng=0)
kinds = [type(layer).__name__ for _, layer in net.named_layers()]
print(kinds.count("Conv2d"), "convolutions and", kinds.count("Linear"), "dense layer")

# %%
# Several forms go by its name. Torchvision's has batch norm, and 3x3 kernels where the paper has 5x5 (a mistake kept for the sake of its published weights); two auxiliary classifiers
# may help its training.

forms = [
    (variant, aux) for variant in ("torchvision", "paper") for aux in (False, True)
]
for variant, aux in (*forms, ("d2l", False)):
    net = models.googlenet(variant=variant, aux_logits=aux, rng=0)
    count = sum(p.size for p in net.parameters())
    print(f"{variant:12} {'with auxiliary heads' if aux else '':22} {count:12,}")

# %%
# Its beginning and its end:

lines = str(summary(models.googlenet(rng=0), (3, 224, 224))).splitlines()
print("\n".join([*lines[:24], "...", *lines[-4:]]))

# %%
# The network itself
# ------------------
#
# A few steps on four digits, enlarged to 224x224 pixels. With batch norm the loss falls at once, from ln 1000 = 6.91:

(x, y), test = cconv.data.digits()
images = np.repeat(np.kron(x[:4], np.ones((8, 8))), 3, axis=1)
optimizer = cconv.optim.SGD(0.02, momentum=0.9)
model = cconv.Model(models.googlenet(rng=0), optimizer=optimizer)
losses = [model.train_on_batch(images, y[:4])["loss"] for _ in range(5)]
print(images.shape, *(f"{loss:.2f}" for loss in losses))

# %%
# A small relative
# ----------------
#
# Reduced, to learn in seconds from digits of 28x28: two Inception blocks instead of nine, 40 and 80 channels instead of 256 to 1024, and a stem of one convolution.


def inception(c_in, one, reduce3, three, reduce5, five, pool, rng):
    def conv(a, b, k):
        return [
            nn.Conv2d(a, b, k, padding=k // 2, bias=False, rng=rng),
            nn.BatchNorm2d(b),
            nn.ReLU(),
        ]

    return nn.Concat(
        nn.Sequential(*conv(c_in, one, 1)),
        nn.Sequential(*conv(c_in, reduce3, 1), *conv(reduce3, three, 3)),
        nn.Sequential(*conv(c_in, reduce5, 1), *conv(reduce5, five, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), *conv(c_in, pool, 1)),
    )


rng = np.random.default_rng(0)
small = nn.Sequential(
    nn.Conv2d(1, 16, 5, stride=2, padding=2, rng=rng), nn.ReLU(),
    inception(16, 8, 8, 16, 4, 8, 8, rng), nn.MaxPool2d(3, 2),
    inception(40, 16, 16, 32, 8, 16, 16, rng),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(80, 10, rng=rng),
)  # fmt: skip
model = cconv.Model(small, optimizer=cconv.optim.Adam(5e-3))
model.fit(x, y, batch_size=64, epochs=5, verbose=0)
print(f"{sum(p.size for p in small.parameters()):,} parameters", model.evaluate(*test))
