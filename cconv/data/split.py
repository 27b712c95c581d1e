"""Parts of a data set."""

import numpy as np

from cconv.data.loader import seed_of


def train_test_split(x, y, test_size=0.2, stratify=True, rng=0):
    """Split samples into two parts at random.

    Parameters
    ----------
    x : array, N samples along the first axis
    y : array (N,) of class numbers
    test_size : float in (0, 1), or int
        Share or number of samples in the second part.
    stratify : bool
        Every class has the same share in both parts, to within one sample (largest remainders).
    rng : int, numpy.random.Generator or None

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        In random order.

    Raises
    ------
    ValueError
        When x and y differ in length, or a part would be empty.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim < 1 or y.ndim != 1 or len(x) != len(y):
        raise ValueError(f"x and y must have the same length and y one axis, got shapes {x.shape} and {y.shape}")
    count = len(y)
    share = test_size if isinstance(test_size, float) else test_size / max(count, 1)
    wanted = round(share * count)
    if not 0 < wanted < count:
        raise ValueError(f"test_size={test_size} of {count} samples leaves a part empty")
    order = np.argsort(np.random.PCG64(seed_of(rng)).random_raw(count), kind="stable")
    if stratify:
        # Within a class in random order: the first of each class, by its exact share, are for testing.
        classes, places = np.unique(y[order], return_inverse=True)
        exact = np.bincount(places, minlength=len(classes)) * (wanted / count)
        sizes = np.floor(exact).astype(np.intp)
        sizes[np.argsort(sizes - exact, kind="stable")[: wanted - sizes.sum()]] += 1
        rank = np.empty(count, np.intp)
        for index in range(len(classes)):
            members = np.flatnonzero(places == index)
            rank[members] = np.arange(len(members))
        test = rank < sizes[places]
    else:
        test = np.arange(count) < wanted
    return (x[order[~test]], y[order[~test]]), (x[order[test]], y[order[test]])
