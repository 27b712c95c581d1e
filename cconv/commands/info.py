"""`cconv info`"""

from cconv.commands.arguments import add_verb


def add(verbs):
    add_verb(
        verbs, "info", run, "version, instruction set, threads",
        "Print what cconv runs on. CCONV_ISA forces an instruction set, CCONV_NUM_THREADS the number of threads.",
        ["cconv info", "CCONV_ISA=generic cconv info"],
    )  # fmt: skip


def run(arguments):
    import cconv

    cconv.show_config()
