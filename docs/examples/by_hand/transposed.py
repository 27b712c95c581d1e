"""
Transposed and fractionally strided convolution
===============================================

.. row:: 1.07 1.08

To enlarge a map, run a convolution backwards: every input lays its multiple of the kernel into the output, S apart. The same result comes from putting
S-1 zeros between the *inputs*, and convolving with the turned kernel at stride 1, as if the stride were 1/S. (Dilation puts its zeros
into the *kernel*; the two are easily confused.)
"""

import numpy as np

import cconv.functional as F
from cconv import explain

z = np.arange(4.0).reshape(2, 2)
print(explain.transposed(z, z, stride=1))

# %%
page = explain.transposed(z, z, stride=2)
print(page)
print((page.transposed == page.fractional).all())

# %%
# Its size is (M-1)S - 2P + D(K-1) + OP + 1. OP, the output padding, chooses among the sizes that the convolution would have rounded down to M: with stride
# 2, both 7 and 8 columns give 4.

for size in (7, 8):
    down = F.conv1d(np.ones((1, 1, size)), np.ones((1, 1, 3)), stride=2, padding=1)
    extra = {"padding": 1, "output_padding": size - 7}
    up = F.conv_transpose1d(down, np.ones((1, 1, 3)), stride=2, **extra)
    print(size, "->", down.shape[-1], "->", up.shape[-1])

# %%
# It is called transposed because it is: the matrix of the convolution, transposed. It is not the inverse, and does not undo the convolution.

w = np.arange(4.0).reshape(2, 2)
C = explain.affine_matrix(w, (3, 3))
print((C.T @ z.ravel()).reshape(3, 3))
print(F.conv_transpose2d(z[None, None], w[None, None])[0, 0])
