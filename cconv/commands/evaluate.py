"""`cconv evaluate`"""

from cconv.commands import datasets, runs
from cconv.commands.arguments import add_data, add_threads, add_verb, set_threads, whole_number


def add(verbs):
    verb = add_verb(
        verbs, "evaluate", run, "loss and accuracy of a checkpoint on test images",
        "Run a checkpoint over the test images of a data set and print loss and accuracy.",
        [
            "cconv evaluate                                  the newest run, on the test images of its data set",
            "cconv evaluate runs/lenet5-digits-001",
            "cconv evaluate model.safetensors --data mnist",
        ],
    )  # fmt: skip
    verb.add_argument(
        "checkpoint", nargs="?", metavar="CHECKPOINT", help="checkpoint or run folder (the newest below runs/)"
    )
    add_data(verb, None, "the one it was trained on")
    verb.add_argument("--batch-size", metavar="N", type=whole_number(1, 10**6), default=256, help="images a step (256)")
    add_threads(verb)


def run(arguments):
    from cconv.model import Model

    set_threads(arguments)
    path = runs.checkpoint_path(arguments.checkpoint) if arguments.checkpoint else runs.newest_checkpoint()
    model = Model.load(path)
    data = arguments.data or model.notes.get("data")
    if data is None:
        raise ValueError(f"{path} does not say what it was trained on; name it with --data")
    _, (x, y) = datasets.load(data, arguments.data_root, model.input_shape or (1, 28, 28))
    results = model.evaluate(x, y, arguments.batch_size)
    print(f"{path} on {len(x):,} test images of {data}")
    print(f"test loss {results['loss']:.4f}")
    print(f"test accuracy {100 * results['accuracy']:.2f} %")
