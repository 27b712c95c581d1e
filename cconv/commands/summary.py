"""`cconv summary`"""

from cconv.commands.arguments import add_verb, whole_number


def add(verbs):
    verb = add_verb(
        verbs, "summary", run, "layers, shapes, parameters and multiply-adds of a network",
        "Print the layers of a network with output shapes, parameters, multiply-adds (MACs) and bytes.",
        ["cconv summary", "cconv summary lenet5 --variant 1998", "cconv summary lenet5 --channels 3 --size 32"],
    )  # fmt: skip
    verb.add_argument("network", nargs="?", default="lenet5", metavar="NETWORK", help="name of a network (lenet5)")
    verb.add_argument("--variant", help="form of the network")
    verb.add_argument(
        "--classes", metavar="N", type=whole_number(1, 10**6), help="classes (those of the published network)"
    )
    verb.add_argument(
        "--channels", metavar="N", type=whole_number(1, 10**6), help="input channels (those of the published network)"
    )
    verb.add_argument("--size", metavar="N", type=whole_number(1, 10**6), help="height and width of the images")


def run(arguments):
    import inspect

    from cconv import models
    from cconv.summary import summary

    chosen = {"variant": arguments.variant, "num_classes": arguments.classes, "in_channels": arguments.channels}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    network = arguments.network
    if network in models.names() and arguments.size is not None:
        if "input_size" in inspect.signature(getattr(models, network)).parameters:
            chosen["input_size"] = arguments.size
    try:
        net = models.create(network, **chosen, rng=0)
    except TypeError as error:
        raise ValueError(f"{network}: {error}") from error
    channels, *size = models.input_shape(net)
    if arguments.size is not None:
        size = (arguments.size, arguments.size)
    print(summary(net, (channels, *size)))
