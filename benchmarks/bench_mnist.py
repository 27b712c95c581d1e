"""A whole training of LeNet-5 on MNIST, data in memory: cconv against PyTorch with the same recipe.

    python benchmarks/bench_mnist.py [--epochs N] [--batch-size N] [--threads N] [--rounds N] [--json FILE]

Both begin with the same weights, see the batches in the same order, and use SGD with momentum and the same learning
rate; PyTorch takes its batches by one `index_select` from tensors, which is faster than any DataLoader of it. The time
is that of the training loop, without imports and reading; each side's test error is computed afterwards, outside the
time, and printed beside it. Sides take turns.
"""

import argparse
import json
import os
import time
from pathlib import Path

from timing import cores, statistics_of

LR, MOMENTUM = 0.05, 0.9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3, metavar="N")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--threads", type=int, metavar="N", help="of either side (all cores)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each side (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go")
    arguments = parser.parse_args()
    # Both are read when the libraries are loaded.
    threads = arguments.threads or cores()
    os.environ |= {"CCONV_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    from timing import machine

    import cconv

    facts = machine(threads)
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    data = cconv.data.mnist()
    sides = {"cconv": _cconv, **_torch_sides(threads)}
    results = {name: {"seconds": [], "error": []} for name in sides}
    for _ in range(arguments.rounds):
        for name, run in sides.items():
            seconds, error = run(data, arguments.epochs, arguments.batch_size)
            results[name]["seconds"].append(seconds)
            results[name]["error"].append(error)
            print(f"  {name:20s} {seconds:7.2f} s   test error {100 * error:.2f} %")
    rows = {
        name: {**statistics_of(values["seconds"]), "error": values["error"][-1]} for name, values in results.items()
    }
    others = [row["median"] for name, row in rows.items() if name != "cconv"]
    if others:
        print(f"cconv takes {rows['cconv']['median'] / min(others):.3f} of the best other's time")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "results": rows}, indent=1) + "\n")


def _torch_sides(threads):
    try:
        import torch
    except ImportError:
        print("torch is not installed: cconv alone")
        return {}
    torch.set_num_threads(threads)
    return {"torch": _torch(False), "torch channels_last": _torch(True)}


def _net():
    from cconv import models

    return models.lenet5(rng=0)


def _orders(loader, epochs):
    """What `fit` shuffles with, so that the other side gets the same batches."""
    return [loader.order(epoch) for epoch in range(epochs)]


def _cconv(data, epochs, batch_size):
    import cconv

    (x, y), test = data
    model = cconv.Model(_net(), optimizer=cconv.optim.SGD(LR, momentum=MOMENTUM))
    start = time.perf_counter()
    model.fit(x, y, batch_size, epochs, verbose=0, rng=0)
    seconds = time.perf_counter() - start
    return seconds, 1 - model.evaluate(*test)["accuracy"]


def _torch(channels_last):
    def run(data, epochs, batch_size):
        import torch
        import torch_networks
        from networks import CASES

        import cconv

        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        (x, y), (x_test, y_test) = data
        orders = [torch.from_numpy(order) for order in _orders(cconv.data.DataLoader(x, y, rng=0), epochs)]
        net = torch_networks.build(CASES["lenet5-64"])
        net.load_state_dict({key: torch.from_numpy(value) for key, value in _net().state_dict().items()})
        net = net.to(memory_format=memory_format)
        x, y, x_test, y_test = (torch.from_numpy(array) for array in (x, y, x_test, y_test))
        optimizer = torch.optim.SGD(net.parameters(), LR, momentum=MOMENTUM)
        cross_entropy = torch.nn.CrossEntropyLoss()
        net.train()
        start = time.perf_counter()
        for order in orders:
            for begin in range(0, len(x), batch_size):
                places = order[begin : begin + batch_size]
                images = x.index_select(0, places).to(memory_format=memory_format)
                optimizer.zero_grad(set_to_none=True)
                cross_entropy(net(images), y.index_select(0, places)).backward()
                optimizer.step()
        seconds = time.perf_counter() - start
        net.eval()
        with torch.inference_mode():
            right = sum(
                int((net(a).argmax(1) == b).sum()) for a, b in zip(x_test.split(256), y_test.split(256), strict=True)
            )
        return seconds, 1 - right / len(x_test)

    return run


if __name__ == "__main__":
    main()
