"""
Winograd: fewer multiplications
===============================

.. row:: 2.07 2.08

Two neighbouring outputs of a three-tap kernel take six multiplications. Four suffice, if inputs and weights are mixed first, by additions and constants.
"""

import numpy as np

import cconv.functional as F
from cconv import explain

page = explain.winograd(2, 3)
print(page)

# %%
# In one dimension m outputs of an r-tap kernel take m+r-1 multiplications instead of m*r; in two dimensions the square:

for m in (2, 4, 6):
    page = explain.winograd(m, 3)
    count = f"{page.multiplications} instead of {page.direct}"
    print(f"F({m}x{m}, 3x3): {count}, {page.saving:.3g} times fewer")

# %%
# And the larger the tile, the larger its constants, and the rounding errors with them. F(4x4, 3x3):

page = explain.winograd(4, 3)
print(page.BT)
print(page.AT)

# %%
# One tile in single precision, against the sum in double precision, a thousand times:

rng = np.random.default_rng(0)
for m in (2, 4, 6):
    page = explain.winograd(m, 3)
    AT, G, BT = (matrix.astype(np.float32) for matrix in (page.AT, page.G, page.BT))
    errors = []
    for _ in range(1000):
        d, g = rng.standard_normal((m + 2, m + 2)), rng.standard_normal((3, 3))
        exact = F.conv2d(d[None, None], g[None, None], algo="reference")[0, 0]
        U, V = G @ g.astype(np.float32) @ G.T, BT @ d.astype(np.float32) @ BT.T
        errors.append(
            np.linalg.norm(AT @ (U * V) @ AT.T - exact) / np.linalg.norm(exact)
        )
    print(f"F({m}x{m}, 3x3): relative error {np.mean(errors):.1e}")

# %%
# So it has its drawbacks: the transforms only pay when many channels share them (never for depthwise layers), the larger tiles lose accuracy and spend their gain on the inverse
# transform, and it wants small kernels (3x3, at most 5x5) at stride 1. ``algo='auto'`` knows.
