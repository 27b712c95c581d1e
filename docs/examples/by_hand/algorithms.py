"""
One convolution, several algorithms
===================================

The same sums, made in different orders: which algorithms fit, how exact they are, and how the choice is yours.

.. row:: 2.01 2.06 2.08 2.09 2.10 1.14 1.20
"""

import textwrap
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import cconv.functional as F
from cconv import nn

rng = np.random.default_rng(0)
x, w = rng.standard_normal((2, 64, 17, 15)), rng.standard_normal((32, 64, 3, 3))
x32, w32 = x.astype(np.float32), w.astype(np.float32)

for name, options in {
    "3x3": {},
    "3x3, stride 2": {"stride": 2},
    "depthwise": {"groups": 64},
}.items():
    shape = (64, 1, 3, 3) if "groups" in options else w.shape
    print(
        f"{name:14}",
        F.conv_algorithms(x.shape, shape, padding=1, channels_last=True, **options),
    )

print(f"{'1x1':14}", F.conv_algorithms(x.shape, (32, 64, 1, 1), channels_last=True))

# %%
# "auto" takes the first that fits. Winograd's algorithm is offered for 3x3 and 5x5 kernels at stride 1 alone: depthwise layers have too few sums to
# pay for its transforms. Its errors are larger than those of the plain sum, the price of fewer multiplications. Against the plain
# loops in double precision:

exact = F.conv2d(x, w, padding=1, algo="reference")
for algo in ("reference", "im2col", "direct", "winograd", "fft"):
    y = F.conv2d(x32, w32, padding=1, algo=algo)
    print(
        f"{algo:10} {np.linalg.norm(y - exact) / np.linalg.norm(exact):.1e} in float32"
    )

y = F.conv2d(x, w, padding=1, algo="im2col")
print(
    f"{'im2col':10} {np.linalg.norm(y - exact) / np.linalg.norm(exact):.1e} in float64"
)

# %%
# Small integers have no rounding at all, so the algorithms that only add products agree to the bit:

xi = rng.integers(-5, 6, x.shape).astype(np.float32)
wi = rng.integers(-5, 6, w.shape).astype(np.float32)
names = ("reference", "im2col", "direct")
results = [F.conv2d(xi, wi, padding=1, algo=algo) for algo in names]
all((result == results[0]).all() for result in results)

# %%
# Fourier transforms
# ------------------
#
# It is often said that the FFT is not used for convolution. With 3x3 kernels and many channels that is right: it is slower than all others. But its
# cost hardly depends on the size of the kernel, so from some size on it wins, the earlier the fewer channels there are to add up. ``algo="fft"`` must be asked for by name;
# "auto" never takes it. The same layers by "auto" and by transforms, forward:

print(F.conv_algorithms((4, 3, 96, 96), (16, 3, 31, 31), padding=15))
sizes = (3, 5, 7, 11, 15, 21, 31)


def milliseconds(image, kernel, algo):
    times = []
    for _ in range(3):
        start = perf_counter()
        F.conv2d(image, kernel, padding="same", algo=algo)
        times.append(1e3 * (perf_counter() - start))
    return min(times)


figure, axes = plt.subplots(1, 2, figsize=(6, 2.8), layout="constrained", sharey=True)
for axis, (channels, kernels) in zip(axes, ((1, 1), (3, 16)), strict=True):
    image = rng.standard_normal((4, channels, 96, 96)).astype(np.float32)
    times = {"auto": [], "fft": []}
    for size in sizes:
        kernel = rng.standard_normal((kernels, channels, size, size)) / size
        kernel = kernel.astype(np.float32)
        usual = F.conv2d(image, kernel, padding="same")
        difference = F.conv2d(image, kernel, padding="same", algo="fft") - usual
        assert np.linalg.norm(difference) < 1e-5 * np.linalg.norm(usual)
        for algo, into in times.items():
            into.append(milliseconds(image, kernel, algo))
    for algo, values in times.items():
        axis.loglog(sizes, values, "o-", label=algo)
    rows = zip(sizes, times["auto"], times["fft"], strict=True)
    last = max((size for size, auto, fft in rows if fft >= auto), default=0)
    axis.set(title=f"{channels} to {kernels} channels", xlabel="kernel size")
    axis.set_xticks(sizes, sizes)
    axis.minorticks_off()
    where = f"beyond {last}x{last}" if last else "at every size"
    print(f"{channels} to {kernels} channels: fft is faster {where}")

axes[0].set(ylabel="ms")
legend = axes[0].legend()

# %%
# ``python benchmarks/bench_fft.py`` in the repository measures more layers, with both backward passes.
#
# The choice is yours
# -------------------
#
# A layer takes its own ``algo``, and refuses one that does not fit:

layer = nn.Conv2d(64, 32, 3, padding=1, algo="direct", rng=0)
print(layer(x32).shape)
try:
    nn.Conv2d(64, 32, 3, stride=2, algo="winograd", rng=0)(x32)
except ValueError as error:
    print(textwrap.fill(str(error), 84))

# %%
# A 1x1 convolution is a matrix product at each pixel: weights (out x in) times pixels (in x positions). It mixes channels, adds a nonlinearity if an
# activation follows, and sees no neighbours.

w1 = rng.standard_normal((32, 64, 1, 1))
product = np.einsum("oc,nchw->nohw", w1[..., 0, 0], x)
print(np.abs(F.conv2d(x, w1) - product).max() < 1e-12)

# %%
# Groups cut the channels into independent convolutions; as many groups as channels make it depthwise. AlexNet had two groups, one for
# each of its two graphics cards.

small, kernels = np.arange(18.0).reshape(1, 2, 3, 3), np.arange(8.0).reshape(2, 1, 2, 2)
F.conv2d(small, kernels, groups=2)

# %%
# The plain definition as the measure for all: a matrix product is what most algorithms come down to.

a, b = rng.standard_normal((64, 50)), rng.standard_normal((40, 50))
print(np.abs(F.linear(a, b) - a @ b.T).max() < 1e-13)
