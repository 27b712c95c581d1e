"""
LeNet-5
=======

Two convolutions, two pools, three dense layers: the network that read cheques, and the form of nearly all that followed.

.. row:: 6.01 6.02 6.03 7.09 4.07 5.03
"""

import cconv
from cconv import models

net = models.lenet5(rng=0)
summary = cconv.Model(net).summary((1, 28, 28))

# %%
# In 1998
# -------
#
# The paper's network reads 32x32 pixels. Its subsampling layers S2 and S4 *learn* a factor and a bias each (12 and 32 parameters), C3 connects
# each map to some of the maps before it, and the output measures distances to fixed pictures of the digits. It is often said that all seven layers of
# LeNet-5 have trainable parameters; that is right for this form only. The pools of the modern form have none.

old = models.lenet5(variant="1998", input_size=32, rng=0)
summary = cconv.Model(old).summary((1, 32, 32))

# %%
# The paper counts *connections*, each weight as often as it is used, biases included:

print(f"{summary.connections:,} connections")

# %%
# With batch norm
# ---------------
#
# Batch normalisation is said to speed up training and to leave the accuracy mostly as it is. Three epochs on the small digits, both forms from
# the same seed:

(x, y), test = cconv.data.digits()
for batch_norm in (False, True):
    net = models.lenet5(batch_norm=batch_norm, rng=0)
    model = cconv.Model(net, optimizer=cconv.optim.SGD(lr=0.03, momentum=0.9))
    history = model.fit(
        x, y, batch_size=32, epochs=3, validation_data=test, verbose=0
    ).history
    count = sum(parameter.size for parameter in net.parameters())
    print(
        f"{count:,} parameters",
        [f"{value:.3f}" for value in history["loss"]],
        f"{history['val_accuracy'][-1]:.3f}",
    )

# %%
# The first dense layer holds 16*5*5*120 = 48,000 of the weights; convolutions share theirs. In the larger networks that come next this is
# far more pronounced: 26,214,400 in AlexNet (d2l's form), 102,760,448 in VGG.
