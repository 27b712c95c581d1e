"""Local response normalisation, the layer."""

from cconv import functional as F
from cconv.nn.base import Layer


class LocalResponseNorm(Layer):
    """y_c = x_c / (k + alpha/size * sum of x_j^2)^beta over `size` channels around c (Krizhevsky et al. 2012).

    Parameters
    ----------
    size : int
    alpha, beta, k : float; the paper's alpha is torch's divided by `size`
    """

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1.0):
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x, train):
        options = self.size, self.alpha, self.beta, self.k
        y = F.local_response_norm(x, *options)

        def backward(dy, need_dx=True):
            return F.local_response_norm_backward(dy, x, *options) if need_dx else None

        return y, backward

    def extra_repr(self):
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
