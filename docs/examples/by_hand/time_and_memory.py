"""
Where time and memory go
========================

.. row:: 2.10 8.07

Ask a model before you train it, and again while it runs. Memory first: a plan of one training step, made without running it.
"""

import numpy as np

import cconv
from cconv import models
from cconv.compat.cs231n import affine_forward

(x, y), _ = cconv.data.digits()
model = cconv.Model(models.lenet5(rng=0), optimizer=cconv.optim.SGD(0.05, momentum=0.9))
print(model.memory_plan(64, (1, 28, 28)))

# %%
# Then time: each layer forward and backward, its share of what this machine can do at best, the algorithm taken and the next best. (The machine that builds these pages is a small
# and busy one.)

print(model.profile(x[:64], y[:64]))

# %%
# And whether its gradients are right, by finite differences in double precision. The images are noise here: in the black margins of real ones neighbours are equal, and where
# two values tie for the maximum of a pool, no derivative exists to compare with.

noise = np.random.default_rng(0).standard_normal((2, 1, 28, 28))
print(model.gradcheck(noise, y[:2]))

# %%
# Who comes from Stanford's course finds its functions under their own names: one changed import, and the notebooks run.

out, cache = affine_forward(np.ones((2, 3)), np.arange(12.0).reshape(3, 4), np.zeros(4))
print(out)
