"""
What a layer costs
==================

.. row:: 1.15 2.06 5.01 5.02 5.03 5.04 5.05

Time is counted in multiply-adds, space in weights and in maps, the values between the layers. A convolution from :math:`C_{in}` to :math:`C_{out}` channels with
kernels of :math:`K \\times K` and outputs of :math:`M \\times M` takes :math:`M^2 K^2 C_{in} C_{out}` multiply-adds, :math:`K^2 C_{in} C_{out}` weights and :math:`M^2 C_{out}` values.
"""

from cconv import explain, models, nn

print(explain.complexity((100, 64, 64), nn.Conv2d(100, 100, 5, padding="same")))

# %%
# A 1x1 layer in front
# --------------------
#
# 256 channels of 100x100 into 256, by 3x3 kernels: nearly six billion multiply-adds.

whole = explain.complexity((256, 100, 100), nn.Conv2d(256, 256, 3, padding=1))
print(f"{whole.macs:,} multiply-adds, {whole.weights:,} weights, {whole.maps:,} values")

# %%
# With a 1x1 layer that first reduces to 64 channels:

pair = [nn.Conv2d(256, 64, 1), nn.Conv2d(64, 256, 3, padding=1)]
narrow = explain.complexity((256, 100, 100), pair)
print(
    f"{narrow.macs:,} multiply-adds, {narrow.weights:,} weights, {narrow.maps:,} values"
)
print(f"time / {whole.macs / narrow.macs:.1f}")
print(f"weights / {whole.weights / narrow.weights:.1f}")
print(f"maps x {narrow.maps / whole.maps:.2f}")

# %%
# It is often said that the 1x1 layer pays with some space for its time. That is right for the *maps*, a quarter more; the weights shrink
# by 3.6 as the time does.
#
# Who holds the weights
# ---------------------
#
# The first dense layer behind the convolutions:

for name, net in {
    "LeNet-5": models.lenet5(rng=0),
    "AlexNet (d2l)": models.alexnet(variant="d2l", rng=0),
    "VGG-16": models.vgg16(rng=0),
}.items():
    dense = next(
        layer for _, layer in net.named_layers() if isinstance(layer, nn.Linear)
    )
    rows, columns = dense.in_features, dense.out_features
    print(f"{name:14} {rows:6,} x {columns:5,} = {dense.weight.size:11,}")

# %%
# Inception against one convolution
# ---------------------------------
#
# The first Inception block of GoogLeNet, 192 channels to 256 at 28x28, and what a single layer would take:


def conv(c_in, c_out, k):
    return nn.Conv2d(c_in, c_out, k, padding=k // 2, bias=False)


paths = (
    [conv(192, 64, 1)],
    [conv(192, 96, 1), conv(96, 128, 3)],
    [conv(192, 16, 1), conv(16, 32, 5)],
    [conv(192, 32, 1)],
)
pages = [explain.complexity((192, 28, 28), path) for path in paths]
weights, macs = sum(page.weights for page in pages), sum(page.macs for page in pages)
print(f"Inception {weights:9,} weights {macs:11,} multiply-adds")
for k in (3, 5):
    page = explain.complexity((192, 28, 28), conv(192, 256, k))
    print(f"{k}x{k}       {page.weights:9,} weights {page.macs:11,} multiply-adds")

# %%
# The same layer by each algorithm
# --------------------------------
#
# It is often said that the Fourier transform is not used for convolution. That holds for 3x3 kernels, where it takes more multiplications than
# Winograd's algorithm, and more room than any; its cost hardly depends on the kernel's size, so it overtakes the sliding window for large ones. Multiplications for one image of 64
# channels at 56x56:

print(f"{'kernel':8}{'sliding window':>16}{'Winograd 4x4':>16}{'FFT':>16}")
for k in (3, 5, 7, 11, 15):
    page = explain.complexity((64, 56, 56), conv(64, 64, k))
    (costs,) = page.algorithms.values()
    count = {name: f"{value[0]:,}" for name, value in costs.items()}
    names = ("sliding window", "Winograd F(4x4, 3x3)", "FFT")
    print(f"{k}x{k:<6}" + "".join(f"{count.get(name, '-'):>16}" for name in names))

# %%
# Counting is not timing: a multiplication of the transform is done by slower code than one of a matrix product. ``cconv explain complexity 100x100x256 --conv
# 1x1:64 --conv 3x3:256`` prints the tables for layers of your own.
