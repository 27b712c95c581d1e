"""`cconv check`"""

from cconv.commands.arguments import add_data, add_threads, add_verb, set_threads, whole_number


def add(verbs):
    verb = add_verb(
        verbs, "check", run, "four sanity checks of a network, on real data",
        "Check a network before training it: the first loss is ln C, gradients are the slopes of the loss (in float64), "
        "a penalty on the weights raises the loss, and fifty samples can be learnt by heart. The exit status is 1 when one "
        "fails.",
        ["cconv check", "cconv check resnet20 --data digits", "cconv check lenet5 --variant 1998"],
    )  # fmt: skip
    verb.add_argument("network", nargs="?", default="lenet5", metavar="NETWORK", help="name of a network (lenet5)")
    verb.add_argument("--variant", help="form of the network")
    verb.add_argument("--seed", metavar="N", type=whole_number(0), default=0, help="of the first weights (0)")
    add_data(verb, "digits", "digits")
    add_threads(verb)


def run(arguments):
    import numpy as np

    from cconv import models, sanity
    from cconv.commands import datasets

    set_threads(arguments)
    chosen = {} if arguments.variant is None else {"variant": arguments.variant}
    classes = datasets.described(arguments.data, None).classes
    try:
        net = models.create(arguments.network, **chosen, num_classes=classes, rng=arguments.seed)
    except TypeError as error:
        raise ValueError(f"{arguments.network}: {error}") from error
    shape = models.input_shape(net)
    (x, y), _ = datasets.load(arguments.data, arguments.data_root, shape)
    x = np.stack([x[index] for index in range(50)])
    x = x.astype(np.float32) / (255 if x.dtype == np.uint8 else 1)
    print(f"{arguments.network}, {' x '.join(map(str, shape))}, {classes} classes, data {arguments.data}")

    def show(check):
        print(f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}", flush=True)

    checks = sanity.run(net, x, np.asarray(y)[:50], classes, show)
    failed = sum(not check.passed for check in checks)
    print(f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed")
    return 1 if failed else 0
