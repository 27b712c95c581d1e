"""Data sets as `(x_train, y_train), (x_test, y_test)`, and batches of arrays."""

from cconv.data.digits import digits
from cconv.data.loader import DataLoader
from cconv.data.mnist import fashion_mnist, mnist
from cconv.data.transforms import RandomShift

__all__ = ["DataLoader", "RandomShift", "digits", "fashion_mnist", "mnist"]
