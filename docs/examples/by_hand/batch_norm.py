"""
Batch normalisation by hand
===========================

.. row:: 7.01 7.02 7.03 7.04 7.05 7.06 7.07

Subtract the mean of the batch, divide by its standard deviation, then scale by a learnt γ and shift by a learnt β:

.. math:: \\hat x = \\frac{x-\\mu}{\\sqrt{\\sigma^2+\\epsilon}}, \\qquad y = \\gamma\\hat x + \\beta

Three places where programs go wrong:

- σ² is the *variance*. Code that calls ``std`` and adds ε to it puts ε outside of the root, and keeps a standard deviation where a running variance should be.
- The mean runs over the *batch* (axis 0, or axes 0, 2, 3 of images), for each channel. ``axis=-1`` normalises each sample by itself: that is layer norm.
- The result has mean 0 and variance 1. It is often called standard Gaussian; it keeps whatever shape the distribution had.
"""

import textwrap

import numpy as np

import cconv
import cconv.functional as F
from cconv import nn

rng = np.random.default_rng(10)
x = rng.exponential(size=(2000, 3)) * [1, 5, 0.2] + [0, 10, -3]
ones, zeros = np.ones(3), np.zeros(3)
y, mean, rstd = F.batch_norm_forward(x, ones, zeros)
print("mean", y.mean(axis=0).round(6), "variance", y.var(axis=0).round(6))
print("skewness", (y**3).mean(axis=0).round(2), "where a Gaussian has 0")

# %%
# γ and β are the new standard deviation and mean:

y, _, _ = F.batch_norm_forward(
    x, np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0])
)
y.mean(axis=0).round(6), y.std(axis=0).round(4)

# %%
# With γ = σ and β = μ the layer gives its input back: it can unlearn itself.

y, _, _ = F.batch_norm_forward(x, np.sqrt(x.var(axis=0) + 1e-5), x.mean(axis=0))
print(np.abs(y - x).max() < 1e-6)

# %%
# The gradient against finite differences:

x, dy = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 5))
gamma = rng.standard_normal(3)
_, mean, rstd = F.batch_norm_forward(x, gamma, zeros)
dx, dgamma, dbeta = F.batch_norm_backward(dy, x, mean, rstd, gamma)
numeric = np.zeros_like(x)
for place in np.ndindex(x.shape):
    step = np.zeros_like(x)
    step[place] = 1e-5
    both = (F.batch_norm_forward(x + sign * step, gamma, zeros)[0] for sign in (1, -1))
    numeric[place] = ((next(both) - next(both)) * dy).sum() / 2e-5

print(f"{np.abs(dx - numeric).max():.1e}")

# %%
# Running statistics
# ------------------
#
# For predictions the layer keeps moving averages. Two conventions are in use: *keep* m of the old value (m = 0.9, 0.99), or *take* m of the new one
# (torch and here, 0.1): m_kept = 1 - m_taken. A second difference: torch averages the unbiased variance (n-1), Keras and many courses the biased one (n).

sample, channel = np.arange(4)[:, None, None], np.arange(3)[None, :, None]
batch = 4.0 * channel + np.arange(4) + 1 + sample
for unbiased in (True, False):
    layer = nn.BatchNorm1d(3, momentum=0.1, unbiased=unbiased, dtype=np.float64)
    y, _ = layer.forward(batch, True)
    name = "unbiased" if unbiased else "biased  "
    print(name, layer.running_mean.data, layer.running_var.data.round(4))

print(y[0, 0].round(4))

# %%
# ``momentum=None`` averages all batches equally, and ``cconv.recalibrate`` measures the statistics of a whole data set after training:

data = rng.standard_normal((60, 4)) * 3 + 1
layer = nn.BatchNorm1d(4, momentum=None, dtype=np.float64)
for part in np.split(data, 3):
    layer.forward(part, True)

print(np.abs(layer.running_mean.data - data.mean(axis=0)).max() < 1e-12)
fresh = nn.Sequential(nn.BatchNorm1d(4, dtype=np.float64))
cconv.recalibrate(fresh, data)
print(np.abs(fresh[0].running_mean.data - data.mean(axis=0)).max() < 1e-12)

# %%
# One sample
# ----------
#
# It is sometimes said that with a single sample mean and variance are 0, and nothing changes. The mean of one sample is the sample; the variance is 0; so the output is β, and all
# that the sample said is lost. Training on it is refused, prediction uses the running statistics:

layer = nn.BatchNorm1d(3)
try:
    layer.forward(np.ones((1, 3), np.float32), True)
except ValueError as error:
    print(textwrap.fill(str(error), 84))

layer(np.array([[1, 2, 3]], np.float32))
