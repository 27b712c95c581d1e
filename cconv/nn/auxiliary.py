"""A head beside a network."""

from cconv.nn.combine import Sequential


class Auxiliary(Sequential):
    """A classifier that looks at an intermediate output, as GoogLeNet has two (Szegedy et al. 2014, section 5).

    The network runs past it: y = x, in training as in inference. Its layers are counted, saved and loaded with the
    others; no loss reaches them yet, so training leaves them as they are.

    Parameters
    ----------
    *layers : as in `Sequential`, the head
    """

    def forward(self, x, train):
        return x, lambda dy, need_dx=True: dy

    def __call__(self, x):
        return x

    def output_shape(self, input_shape):
        return tuple(input_shape)

    def head(self):
        """The head itself, a `Sequential` of the same layers."""
        return Sequential(dict(self._layers))
