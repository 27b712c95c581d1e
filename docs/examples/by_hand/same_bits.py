"""
The same bits on any number of threads
======================================

.. row:: 9.06

A sum of floating-point numbers depends on its order. The library therefore never splits a sum by threads: train the same network with one, two
and three of them, and compare fingerprints of the weights.
"""

import hashlib

import cconv

(x, y), _ = cconv.data.digits()
before = cconv.get_num_threads()
for threads in (1, 2, 3):
    cconv.set_num_threads(threads)
    model = cconv.Model(
        cconv.models.lenet5(rng=0), optimizer=cconv.optim.SGD(0.05, momentum=0.9)
    )
    model.fit(x, y, batch_size=64, epochs=1, rng=7, verbose=0)
    weights = b"".join(parameter.data.tobytes() for parameter in model.net.parameters())
    print(threads, hashlib.sha256(weights).hexdigest()[:32])

cconv.set_num_threads(before)

# %%
# The pool is one, small, and belongs to the process; it takes as many threads as there are cores that this process may use, or
# ``CCONV_NUM_THREADS``. A model trains in one process on one machine; frameworks that use several of either add their gradients
# up through MPI or NCCL.
#
# Data
# ----
#
# The digits come with the package. Fashion-MNIST (clothes, 28x28, grey) and CIFAR-10 (colours, 32x32) are read from
# the folder that ``CCONV_DATA`` names, or fetched once: ``cconv.data.fashion_mnist()`` and ``cconv.data.cifar10()`` return them in the same form.

x.shape, x.dtype, y[:8]
