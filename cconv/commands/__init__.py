"""The verbs of the command line, one module each: `add(verbs)` declares it, `run(arguments)` does it."""
