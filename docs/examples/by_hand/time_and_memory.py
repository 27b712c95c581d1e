"""
Where time and memory go
========================

.. row:: 2.10 8.07

Ask a model before you train it, and again while it runs. Memory first: a plan of one training step, made without running it.
"""

import textwrap

import numpy as np

import cconv
from cconv import models
from cconv.compat.cs231n import affine_forward

(x, y), _ = cconv.data.digits()
model = cconv.Model(models.lenet5(rng=0), optimizer=cconv.optim.SGD(0.05, momentum=0.9))
print(model.memory_plan(64, (1, 28, 28)))

# %%
# The plan is a rehearsal of the step with kernels that only take and give back memory, so it holds to the byte; the second half tells what each layer keeps for backward.
#
# With less memory
# ----------------
#
# What a layer keeps can be computed again. Give the plan a limit, and it looks for the layers whose second forward pass costs least; ``recompute`` makes the model follow it. Residual and Inception
# blocks run again as a whole.
# The weights get the same bits: random masks are those of the first pass, and running statistics move once.

resnet = cconv.Model(models.resnet20(rng=0))
whole = resnet.memory_plan(32, (3, 32, 32))
plan = resnet.memory_plan(32, (3, 32, 32), max_memory=40_000_000)
print(textwrap.fill(plan.cost, 84))

# %%
rng = np.random.default_rng(0)
images = rng.standard_normal((32, 3, 32, 32)).astype(np.float32)
labels = rng.integers(0, 10, 32)
spare = cconv.Model(models.resnet20(rng=0))
spare.recompute(plan.stretches)
for trained in (resnet, spare):
    for _ in range(2):
        trained.train_on_batch(images, labels)

states = [trained.net.state_dict() for trained in (resnet, spare)]
print(all(states[0][key].tobytes() == states[1][key].tobytes() for key in states[0]))
print(f"peak of a step {whole.peak / 1e6:.1f} MB -> {plan.peak / 1e6:.1f} MB")

# %%
# Time
# ----
#
# Then time: each layer forward and backward, its share of what this machine can do at best, the algorithm taken and the next best. (The machine that builds these pages is a small
# and busy one: peaks are measured too low when other programs run.) ``cconv profile`` prints the same for networks by name.

profile = model.profile(x[:64], y[:64])
print(profile)

# %%
# As a picture: to the left of the bend the memory's speed is the limit, to the right of it arithmetic. A point is a layer; the further
# below the roof, the more there is to gain.

roof = cconv.plot.roofline(profile)

# %%
# Gradients
# ---------
#
# And whether its gradients are right, by finite differences in double precision. The images are noise here: in the black margins of real ones neighbours are equal, and where
# two values tie for the maximum of a pool, no derivative exists to compare with.

noise = np.random.default_rng(0).standard_normal((2, 1, 28, 28))
print(model.gradcheck(noise, y[:2]))

# %%
# Who comes from Stanford's course finds its functions under their own names: one changed import, and the notebooks run.

out, cache = affine_forward(np.ones((2, 3)), np.arange(12.0).reshape(3, 4), np.zeros(4))
print(out)
