"""Runs the recipes of examples/ and writes their results as a table, into README.md when asked.

    python benchmarks/recipes.py [--only NAME]... [--readme README.md] [--json FILE]

In the README the table stands between the lines
    <!-- recipes: begin -->
    <!-- recipes: end -->
Rows that are not measured again keep what the JSON file says of them.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from timing import machine

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
BEGIN, END = "<!-- recipes: begin -->", "<!-- recipes: end -->"
# name -> (title, words after python examples/, seeds; none for those that print what they found as a sentence)
RECIPES = {
    "lenet5": ("LeNet-5, MNIST, 15 epochs", ["lenet5_mnist.py"], (0, 1, 2)),
    "lenet5-augmented": (
        "LeNet-5, MNIST shifted by up to 2 pixels, 30 epochs",
        ["lenet5_mnist.py", "--augment"],
        (0, 1, 2),
    ),
    "cifar10": ("small residual network, CIFAR-10, 22 epochs, tested with mirror images", ["cifar10.py"], (0, 1)),
    "cifar10-resnet20": ("ResNet-20, CIFAR-10, 20 epochs", ["cifar10.py", "resnet20"], (0,)),
    "cifar10-vgg": ("small VGG, CIFAR-10, 15 epochs", ["cifar10.py", "vgg"], (0,)),
    "overfit50": ("50 digits learnt by heart", ["overfit50.py"], ()),
    "batch-norm": ("LeNet-5 with and without batch norm, digits, 2 epochs", ["batch_norm_lab.py"], ()),
    "finetune": ("a LeNet-5 learns other digits", ["finetune.py"], ()),
    "plain-and-residual": (
        "depth with and without shortcuts, 10,000 images of CIFAR-10",
        ["plain_and_residual.py", "--samples", "10000", "--epochs", "10"],
        (),
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=RECIPES, metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--readme", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    kept = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    for name in arguments.only or RECIPES:
        title, words, seeds = RECIPES[name]
        runs = [measured(words, seed) for seed in seeds] or [told(words)]
        kept[name] = {"title": title, "runs": runs}
        print(f"{title}: {runs}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    if arguments.readme:
        write(arguments.readme, table(kept))
    else:
        print(table(kept))


def last_line(words):
    command = [sys.executable, str(EXAMPLES / words[0]), *words[1:]]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def measured(words, seed):
    """The last line of an example as numbers: test error in percent and seconds of training."""
    last = last_line([*words, "--seed", str(seed)])
    kind, percent, seconds = re.fullmatch(r"test (error|accuracy) ([\d.]+) % after ([\d.]+) s", last).groups()
    error = float(percent) if kind == "error" else 100 - float(percent)
    return {"seed": seed, "error": round(error, 2), "seconds": float(seconds)}


def told(words):
    """The last line of an example as it is, and its seconds."""
    begin = time.perf_counter()
    return {"said": last_line(words), "seconds": time.perf_counter() - begin}


def table(results):
    lines = ["| recipe | measured here | seconds |", "|---|---|---:|"]
    for name in RECIPES:
        if name in results:
            runs = results[name]["runs"]
            said = runs[0].get("said") or "test error " + ", ".join(f"{run['error']:.2f} %" for run in runs)
            seeds = ", ".join(str(run["seed"]) for run in runs if "seed" in run)
            seeds = f" (seed{'s' * (len(runs) > 1)} {seeds})" if seeds else ""
            lines.append(f"| {results[name]['title']} | {said}{seeds} | {max(run['seconds'] for run in runs):,.0f} |")
    facts = machine(2)
    return "\n".join(
        [*lines, "", f"{facts['processor']}, {facts['cores']} cores, {facts['isa']}, {facts['date'][:10]}."]
    )


def write(path, text):
    content = path.read_text()
    if BEGIN not in content or END not in content:
        raise SystemExit(f"{path} has no lines {BEGIN} and {END}")
    head, rest = content.split(BEGIN, 1)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")


if __name__ == "__main__":
    main()
