"""`cconv profile`"""

from cconv.commands.arguments import add_network, add_threads, add_verb, network, set_threads, whole_number


def add(verbs):
    verb = add_verb(
        verbs, "profile", run, "where the time of a training step goes, layer by layer",
        "Time a training step (forward, cross-entropy, backward, SGD with momentum) on random images, layer by layer:\n"
        "seconds forward and backward, share of the step, speed against the peaks of this machine, the algorithm of each\n"
        "convolution and the next best. Neighbours that run as one, such as a convolution and its ReLU, are one row.",
        [
            "cconv profile",
            "cconv profile resnet20 --batch-size 128",
            "cconv profile vgg16 --batch-size 4 --threads 1",
        ],
    )  # fmt: skip
    add_network(verb)
    verb.add_argument(
        "--batch-size", metavar="N", type=whole_number(1, 65536), default=32, help="samples of a step (32)"
    )
    verb.add_argument(
        "--steps", metavar="N", type=whole_number(1, 10**6), default=7, help="steps, of which medians are shown (7)"
    )
    add_threads(verb)


def run(arguments):
    import numpy as np

    from cconv import Model, optim

    set_threads(arguments)
    net, shape = network(arguments)
    model = Model(net, optimizer=optim.SGD(0.01, momentum=0.9))
    classes = net.output_shape((1, *shape))[1]
    x = np.random.default_rng(0).standard_normal((arguments.batch_size, *shape), dtype=np.float32)
    print(f"{arguments.network}, {arguments.batch_size} x {' x '.join(map(str, shape))}, {classes} classes")
    print(model.profile(x, np.arange(len(x)) % classes, arguments.steps))
    print(f"memory: {model.memory_plan(len(x), shape).total / 1e6:.1f} MB, the images not counted")
