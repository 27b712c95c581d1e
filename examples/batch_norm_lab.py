"""What batch norm does to training: LeNet-5 with and without it, over learning rates and scales of the first weights.

    python examples/batch_norm_lab.py [--samples N] [--epochs N] [--data digits|mnist]

Prints the training loss and the test accuracy after few epochs.
"""

import argparse

import cconv


def train(data, batch_norm, lr, scale, epochs):
    (x, y), test = data
    net = cconv.models.lenet5(batch_norm=batch_norm, rng=0)
    for parameter in net.parameters():
        if parameter.data.ndim > 1:
            parameter.data[...] *= scale
    model = cconv.Model(net, optimizer=cconv.optim.SGD(lr, momentum=0.9))
    history = model.fit(x, y, 64, epochs, verbose=0, callbacks=[cconv.callbacks.TerminateOnNaN()]).history
    loss = history["loss"][-1] if len(history.get("loss", ())) == epochs else float("nan")
    return loss, model.evaluate(*test)["accuracy"] if loss == loss else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--data", choices=("digits", "mnist"), default="digits")
    arguments = parser.parse_args()
    (x, y), test = getattr(cconv.data, arguments.data)()
    data = (x[: arguments.samples], y[: arguments.samples]), test
    good = {False: [], True: []}
    print("batch norm  learning rate  weights x  loss      test accuracy")
    for lr in (0.001, 0.01, 0.1, 0.5):
        for scale in (0.1, 1.0, 5.0):
            for batch_norm in (False, True):
                loss, accuracy = train(data, batch_norm, lr, scale, arguments.epochs)
                good[batch_norm].append(accuracy > 0.9)
                print(
                    f"{'with' if batch_norm else 'without':10}  {lr:13}  {scale:9}  {loss:8.4f}  {100 * accuracy:8.2f} %"
                )
    without, with_ = (f"{sum(good[kind])} of {len(good[kind])}" for kind in (False, True))
    print(f"test accuracy above 90 %: {without} settings without batch norm, {with_} with it")


if __name__ == "__main__":
    main()
