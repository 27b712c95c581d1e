"""`cconv bench`"""

from cconv.commands.arguments import add_threads, add_verb, whole_number


def add(verbs):
    verb = add_verb(
        verbs, "bench", run, "speed of this machine and of the kernels, and their errors",
        "Measure the machine (multiply-adds, memory), then convolution layers forward and backward by every algorithm "
        "with its error against float64, beside PyTorch where that is installed. Medians of --repeats runs; slow passes run less often.",
        ["cconv bench", "cconv bench --threads 1 --repeats 20", "cconv bench --batch-size 64"],
    )  # fmt: skip
    verb.add_argument("--batch-size", metavar="N", type=whole_number(1, 4096), default=4, help="samples (4)")
    verb.add_argument(
        "--repeats", metavar="N", type=whole_number(1, 10**6), default=5, help="runs of each pass, at most (5)"
    )
    add_threads(verb)


def run(arguments):
    from cconv import benchmark, get_num_threads
    from cconv.commands.arguments import set_threads
    from cconv.functional.machine import peaks

    set_threads(arguments)
    machine = peaks()
    threads = get_num_threads()
    print(
        f"{threads} thread{'s' * (threads > 1)}: {machine.gflops:.1f} GFLOP/s of float32, {machine.gbytes:.1f} GB/s of memory"
    )
    print("ms of a layer (forward, gradient of x, gradient of the weights); error of each against float64, L2-relative")
    rows = benchmark.convolutions(arguments.batch_size, arguments.repeats)
    print(benchmark.HEAD, flush=True)
    for row in rows:
        print(row, flush=True)
    if not benchmark.torch_there():
        print("PyTorch is not installed: nothing to compare with")
