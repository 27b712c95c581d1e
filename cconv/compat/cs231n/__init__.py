"""The function names of Stanford's course CS231n, on cconv's kernels.

    from cconv.compat.cs231n import *

stands for the course's `layers`, `layer_utils`, `fast_layers`, `optim` and `gradient_check`, which are modules here, too. The conventions are the
course's: a forward function returns (out, cache), its backward function takes (dout, cache); weights of an affine layer
have shape (D, M); a convolution takes `{"stride": ..., "pad": ...}`; batch norm takes and updates a dict with "mode",
"momentum" (the share that stays) and running statistics of the biased variance; dropout's "p" is the share that is kept.
A cache is for the backward function alone: what it holds is not specified.

Names that end with `_naive` run `algo="reference"`, those with `_im2col` im2col and a matrix product, those with
`_fast` what suits the shape best. float64 stays float64.
"""

# ruff: noqa: F403
from cconv.compat.cs231n import fast_layers, gradient_check, layer_utils, layers, optim
from cconv.compat.cs231n.gradient_check import *
from cconv.compat.cs231n.layer_utils import *
from cconv.compat.cs231n.layers import *
from cconv.compat.cs231n.optim import *

__all__ = [*layers.__all__, *layer_utils.__all__, *optim.__all__, *gradient_check.__all__]
__all__ += ["fast_layers", "gradient_check", "layer_utils", "layers", "optim"]
