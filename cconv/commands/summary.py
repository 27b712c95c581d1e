"""`cconv summary`"""

from cconv.commands.arguments import add_network, add_verb, network


def add(verbs):
    verb = add_verb(
        verbs, "summary", run, "layers, shapes, parameters and multiply-adds of a network",
        "Print the layers of a network with output shapes, parameters, multiply-adds (MACs) and bytes.",
        ["cconv summary", "cconv summary lenet5 --variant 1998", "cconv summary lenet5 --channels 3 --size 32"],
    )  # fmt: skip
    add_network(verb)


def run(arguments):
    from cconv.summary import summary

    print(summary(*network(arguments)))
