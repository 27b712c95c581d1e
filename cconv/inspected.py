"""What a Model shows of itself; the base class of `cconv.Model`."""

import sys


class Inspected:
    """Summary, gradient check, profile and memory plan of a network, its loss and its optimiser."""

    def summary(self, input_shape=None):
        """Print and return the layers, output shapes, parameters and multiply-adds.

        Parameters
        ----------
        input_shape : tuple, optional
            Of one sample, such as (1, 28, 28); that of the training data unless given.

        Returns
        -------
        cconv.summary.Summary
            Interactive sessions show it themselves, so it is not printed there.
        """
        from cconv.summary import summary

        if input_shape is None and self.input_shape is None:
            raise ValueError("input_shape is needed before the first fit")
        table = summary(self.net, self.input_shape if input_shape is None else input_shape)
        if not hasattr(sys, "ps1"):
            print(table)
        return table

    def gradcheck(self, x, y, samples=10, tolerance=1e-5, rng=0):
        """Compare the gradients of the loss for a batch with central differences in float64, on a copy of the network.

        Arguments and the GradientReport returned are those of `cconv.gradcheck`.
        """
        from cconv.gradients import check_model

        return check_model(self, *self._checked(x, y), samples, tolerance, rng)
