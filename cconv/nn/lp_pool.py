"""L_p pooling layers."""

import numpy as np

from cconv import functional as F
from cconv.functional import pool
from cconv.functional._arguments import flag, real, spatial
from cconv.nn.base import Layer


class _LPPool(Layer):
    """(SUM |x|^p)^(1/p) over every window; see `functional.lp_pool2d`.

    Parameters
    ----------
    norm_type : float p above 0
    kernel_size, stride : int or one int an axis; stride None means kernel_size
    ceil_mode : bool
    """

    rank = None

    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        self.norm_type = real(norm_type, "norm_type")
        self.kernel_size = spatial(kernel_size, self.rank, "kernel_size")
        self.stride = self.kernel_size if stride is None else spatial(stride, self.rank, "stride")
        self.ceil_mode = flag(ceil_mode, "ceil_mode")

    def forward(self, x, train):
        options = self.norm_type, self.kernel_size, self.stride, self.ceil_mode

        def backward(dy, need_dx=True):
            return getattr(F, f"lp_pool{self.rank}d_backward")(dy, x, *options) if need_dx else None

        return getattr(F, f"lp_pool{self.rank}d")(x, *options), backward

    def output_shape(self, input_shape):
        geometry = pool.window(self.rank, tuple(input_shape[2:]), self.kernel_size, self.stride, 0, 1)
        type_number = np.dtype(np.float32).num
        return pool.prepared(
            type(self).__name__, tuple(input_shape), type_number, False, ceil_mode=self.ceil_mode, **geometry
        ).output_shape

    def extra_repr(self):
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}"


def _of_rank(rank):
    head, rule, rest = (_LPPool.__doc__ or "").partition("\n\n    Parameters\n")
    doc = f"{head}\n\n    Arrays have {rank} spatial {'axis' if rank == 1 else 'axes'}.{rule}{rest}"
    return type(f"LPPool{rank}d", (_LPPool,), {"rank": rank, "__doc__": doc, "__module__": __name__})


LPPool1d, LPPool2d, LPPool3d = (_of_rank(rank) for rank in (1, 2, 3))
