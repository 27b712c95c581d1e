"""
Training in eleven steps
========================

.. row:: S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11

What ``Model.fit`` does, done by hand. Each line of the loop is one of the steps in which textbooks write back-propagation down:

1. choose the structure, first weights, learning rate, batch size, number of passes;
2. take a batch;
3. take a sample of it;
4. forward, keeping each layer's output;
5. the loss;
6. its gradient δ at the output;
7. δ back through dense layers, convolutions, pools;
8. the gradients of the weights on the way;
9. add them to the batch's sum, next sample;
10. move the weights against the gradient;
11. next batch, until the passes are over.
"""

import numpy as np

import cconv
from cconv import explain, models, nn

(x, y), _ = cconv.data.digits()
x, y = x[:64].astype(np.float64), y[:64]

net = models.lenet5(rng=0).astype(np.float64)  # 1
lr, loss_of = 0.1, nn.CrossEntropyLoss(reduction="sum")
for batch in cconv.data.DataLoader(x, y, batch_size=16, rng=3):  # 2, 11
    images, labels = batch
    net.zero_grad()
    for n in range(len(images)):  # 3
        outputs, backward = net.forward(images[n : n + 1], train=True)  # 4
        loss, loss_backward = loss_of.forward(outputs, labels[n : n + 1])  # 5
        delta = loss_backward()  # 6
        backward(delta)  # 7, 8; and 9: gradients are added, not overwritten
    for parameter in net.parameters():  # 10
        parameter.data[...] -= lr / len(images) * parameter.grad
    print(f"loss of the last sample {loss:.4f}")

# %%
# Summing over the samples makes the step grow with the batch; libraries take the mean, and so does step 10, by dividing. Now with ``fit``:

fitted = models.lenet5(rng=0).astype(np.float64)
model = cconv.Model(fitted, optimizer=cconv.optim.SGD(lr))
model.fit(x, y, batch_size=16, epochs=1, rng=3, verbose=0)
pairs = zip(net.parameters(), fitted.parameters(), strict=True)
largest = max(np.abs(a.data - b.data).max() for a, b in pairs)
print(f"largest difference of a weight: {largest:.1e}")

# %%
# ``explain.train_step`` writes a step out, sample by sample:

print(explain.train_step(net, x[:6], y[:6], lr=0.1))
