"""
Digits in twenty lines
======================

LeNet-5 on the 1,797 handwritten digits that come with the package, and what it has learnt.

.. row:: 6.01
"""

import cconv

(x, y), (x_test, y_test) = cconv.data.digits()
net = cconv.models.lenet5(rng=0)
model = cconv.Model(net, optimizer=cconv.optim.SGD(lr=0.02, momentum=0.9))
history = model.fit(
    x, y, batch_size=32, epochs=20, validation_data=(x_test, y_test), verbose=0
)
outputs = model.predict(x_test)
confusion = cconv.plot.confusion(cconv.metrics.confusion_matrix(outputs, y_test))
model.evaluate(x_test, y_test)

# %%
# Rows are the true digits, columns what the network says. The epochs on the way there:
curves = cconv.plot.learning_curves(history)

# %%
# The images it gets wrong, the surest mistakes first, each with its answer and (in parentheses) the truth:
wrong = cconv.plot.misclassified(x_test, y_test, outputs)

# %%
# Its six first kernels, and one image on its way through the layers:
kernels = cconv.plot.filters(net)

# %%
maps = cconv.plot.activations(net, x_test[0], most=8)

# %%
# Which pixels of four digits move the loss:
pixels = cconv.plot.saliency(model, x_test[:4], y_test[:4])
