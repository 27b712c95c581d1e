"""Writes the table of the README and a bar chart from what bench_networks.py measured.

    python benchmarks/report.py NETWORKS.json [--memory MEMORY.json] [--readme README.md] [--chart FILE.png]

In the README the table stands between the lines
    <!-- benchmarks: begin -->
    <!-- benchmarks: end -->
Without --readme it is printed.
"""

import argparse
import json
from pathlib import Path

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
SIDES = ("cconv", "torch", "torch channels_last", "onnxruntime")
TITLES = {"cconv": "cconv", "torch": "PyTorch", "torch channels_last": "channels_last", "onnxruntime": "ONNX Runtime"}


def by_case(results, task, value):
    """title -> {side: value}, in the order measured."""
    table = {}
    for row in results:
        if row["task"] == task:
            table.setdefault(row["title"], {})[row["side"]] = row[value]
    return table


def markdown(data, memory):
    """The tables and, below them, what they were measured on."""
    parts = []
    for task, head in (("train", "training step, ms"), ("infer", "inference, ms")):
        table = by_case(data["results"], task, "median")
        if table:
            parts.append(_table(head, table, 1e3, ("speed-up", lambda ours, best: f"{best / ours:.2f}x")))
    if memory:
        table = by_case(memory["results"], "memory", "bytes")
        parts.append(_table("peak memory of training, MiB", table, 2**-20, ("less", lambda o, b: f"{b / o:.2f}x")))
    return "\n\n".join([*parts, _machine(data["machine"])])


def _table(head, table, scale, comparison):
    sides = [side for side in SIDES if any(side in numbers for numbers in table.values())]
    word, compare = comparison
    lines = [
        "| " + " | ".join([head, *(TITLES[side] for side in sides), word]) + " |",
        "|" + "---|" + "---:|" * (len(sides) + 1),
    ]
    for title, numbers in table.items():
        cells = [
            f"{scale * numbers[side]:,.{_digits(scale * numbers[side])}f}" if side in numbers else "" for side in sides
        ]
        others = [numbers[side] for side in numbers if side != "cconv"]
        cells.append(compare(numbers["cconv"], min(others)) if others and "cconv" in numbers else "")
        lines.append("| " + " | ".join([title, *cells]) + " |")
    return "\n".join(lines)


def _digits(number):
    return 2 if number < 10 else 1 if number < 100 else 0


def _machine(facts):
    programs = [f"cconv {facts['cconv']} ({facts['isa']})"]
    programs += [
        f"{name} {facts[key]}" for name, key in (("PyTorch", "torch"), ("ONNX Runtime", "onnxruntime")) if facts[key]
    ]
    return (
        f"Medians; the last column compares with the best of the others. Float32, {facts['threads']} threads on "
        f"{facts['processor']} ({facts['cores']} cores), {', '.join(programs)}, {facts['date'][:10]}"
        + (f", commit {facts['commit']}" if facts["commit"] else "")
        + ". A training step is forward, cross-entropy, backward and SGD with momentum; all sides begin with the same "
        "weights and their results are compared first. `python benchmarks/bench_networks.py` measures again."
    )


def write_readme(path, text):
    """Put `text` between the markers of the file.

    Raises
    ------
    SystemExit
        Without exactly one pair of markers; the file is left as it is.
    """
    readme = path.read_text(encoding="utf-8")
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise SystemExit(f"{path} needs the lines {BEGIN} and {END}, once each")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def draw(data, path):
    """Bars: how many times faster than contiguous torch each side trains."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = {title: n for title, n in by_case(data["results"], "train", "median").items() if "torch" in n}
    if not table:
        raise SystemExit("the file holds no training steps of torch to compare with")
    sides = [side for side in SIDES if any(side in numbers for numbers in table.values())]
    figure, axes = pyplot.subplots(figsize=(8, 0.7 + 0.6 * len(table)), layout="constrained")
    height = 0.8 / len(sides)
    for i, side in enumerate(sides):
        places = [row + (i - (len(sides) - 1) / 2) * height for row in range(len(table))]
        speeds = [numbers["torch"] / numbers[side] if side in numbers else 0 for numbers in table.values()]
        bars = axes.barh(
            places, speeds, height, label=TITLES[side], color=("#c2410c", "#94a3b8", "#475569", "#cbd5e1")[i]
        )
        axes.bar_label(bars, [f"{speed:.2f}" if speed else "" for speed in speeds], padding=2, fontsize=8)
    axes.set_yticks(range(len(table)), list(table))
    axes.invert_yaxis()
    axes.set_xlabel(f"training steps a second, PyTorch = 1 ({data['machine']['threads']} threads)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(sides), frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", type=Path, help="what bench_networks.py --json wrote")
    parser.add_argument("--memory", type=Path, help="what bench_networks.py --memory --json wrote")
    parser.add_argument("--readme", type=Path, help="file whose table is replaced")
    parser.add_argument("--chart", type=Path, help="picture to write")
    arguments = parser.parse_args()
    data = json.loads(arguments.networks.read_text())
    text = markdown(data, json.loads(arguments.memory.read_text()) if arguments.memory else None)
    if arguments.readme:
        write_readme(arguments.readme, text)
    else:
        print(text)
    if arguments.chart:
        draw(data, arguments.chart)


if __name__ == "__main__":
    main()
