#!/usr/bin/env python3
"""Tables of docs/performance.md from a log of bench.py:  report.py LOG [--write docs/performance.md]

With --write they replace what is between the page's two lines of gpu-bench."""

import json
import sys

BEGIN, END = "<!-- gpu-bench: report.py writes what follows -->", "<!-- gpu-bench: end -->"
GOALS = {  # share of the read rate or None, ratio
    "decode gpt2 1": (30, 0.40), "decode gpt2 4": (36, 0.40), "decode gpt2-medium 1": (39, 0.42),
    "decode gpt2-medium 4": (44, 0.42), "decode gpt2-medium 16": (52, 0.58), "decode gpt2-medium 64": (71, 0.60),
    "decode gpt2-xl 1": (56, 0.50), "decode gpt2-xl 4": (60, 0.50), "chart": (45, 0.42),
    "prefill 1 1024": (None, 0.76), "prefill 4 1024": (None, 0.75), "prefill 1 16384": (None, 0.92)}
for name, ratios in (("bert-base", (0.62, 0.80, 0.92, 0.75, 0.75)), ("bert-large", (0.68, 0.95, 0.95, 0.86, 0.82))):
    for shape, ratio in zip(("1 128", "8 128", "32 128", "32 384", "32 512"), ratios):
        GOALS[f"encode {name} {shape}"] = (None, ratio)
NAMES = {"gpt2": "GPT-2 124M", "gpt2-medium": "GPT-2 355M", "gpt2-xl": "GPT-2 1.5B", "gpt2-medium-1": "one layer of 355M",
         "bert-base": "BERT-base", "bert-large": "BERT-large"}


def number(x):
    return f"{x:.3f}" if x < 10 else f"{x:.2f}" if x < 100 else f"{x:.0f}"


def percent(x):
    return f"{100 * x:.0f} %"


def goal_of(cell):
    share, ratio = GOALS.get(cell, (None, None))
    return "" if ratio is None else f"{ratio:.2f}" + (f", {share} %" if share else "")


def table(head, rows):
    if not rows:
        return []
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def speed(one, what, cell=None):
    others = one["all"].get("transformers")
    return [what, number(one["ours_ms"]), f"{number(one['best_ms'])} ({one['best']})", number(others) if others else "",
            f"{one['ratio']:.2f}", goal_of(cell or one["cell"]), percent(one["share"]), f"{one['tokens_per_s']:.0f}"]


SPEED = ["", "eet, ms", "best torch", "transformers", "eet / best", "goal", "share", "tokens/s"]


def decode_rows(lines):
    rows = []
    for one in lines.values():
        if one["cell"].startswith("decode "):
            rows.append(speed(one, f"{NAMES[one['model']]}, {one['rows']} row{'s' if one['rows'] > 1 else ''}"))
        if one["cell"] == "decode gpt2-medium 4":
            rows.append(["the original's chart (355M, 4 rows, 512 of 1,024), whole", number(one["total_ours_ms"]),
                         number(one["total_best_ms"]), "", f"{one['total_ratio']:.2f}", goal_of("chart"),
                         percent(one["total_share"]), ""])
    return rows


def text_rows(lines, *kinds):
    return [speed(one, f"{NAMES[one['model']]} {one['rows']} x {one['tokens']:,}")
            for one in lines.values() if one["cell"].startswith(kinds)]


def ragged_rows(lines):
    return [[f"{NAMES[one['model']]}, {one['rows']} rows", number(one["ours_ms"]),
             number(min(v for k, v in one["all"].items() if k.startswith("padded"))),
             number(min(v for k, v in one["all"].items() if k.startswith("packed"))),
             number(one["all"]["transformers"]), f"{one['to_padded']:.2f}", f"{one['to_packed']:.2f}", percent(one["share"])]
            for one in lines.values() if one["cell"].startswith("ragged")]


def context_rows(lines):
    both = [lines.get(f"contexts {name}") for name in ("gpt2-medium", "gpt2-medium-1")]
    rows = []
    for points in zip(*(one["points"] for one in both if one)):
        row = [str(points[0]["context"])]
        for p in points:
            row += [number(p["ours"]), number(p["graph"]), f"{p['ours'] / p['graph']:.2f}"]
        rows.append(row)
    head = ["prompt"]
    for name, one in zip(("24 layers", "1 layer"), both):
        head += [f"{name}: eet, ms", "torch", "eet / torch"] if one else []
    return head, rows


def hidden_rows(lines):
    return [[f"{int(one['cell'].split()[1]):,}", number(one["ours_ms"]), number(one["best_ms"]),
             number(one["all"]["transformers"]), f"{one['ratio']:.2f}", percent(one["share"]), number(one["total_ours_ms"]), number(one["total_best_ms"])]
            for one in lines.values() if one["cell"].startswith("hidden")]


def load_rows(lines):
    return [[NAMES[one["model"]], f"{one['bytes'] / 1e9:.2f} GB", number(one["took"]["ours"]),
             number(one["took"]["transformers"]), f"{one['gb_per_s']:.1f} GB/s", f"{one['memory']['ours'] / 1e9:.2f} GB",
             f"{one['memory']['transformers'] / 1e9:.2f} GB"] for one in lines.values() if one["cell"].startswith("load")]


def others(lines):
    text = [f"Taking each token of {NAMES[one['model']]}, {one['rows']} row(s), when it is there costs "
            f"{100 * one['overhead']:.1f} % beside taking all that there are."
            for one in lines.values() if one["cell"].startswith("stream")]
    text += [f"`{one['cell']}`: {one['ms']:.3f} ms by transformers compiled." for one in lines.values()
             if one["cell"].startswith("transformers")]
    return [f"- {line}" for line in text] + ([""] if text else [])


def markdown(lines):
    about = lines["limits"]
    same = [one["same_first_32"] for one in lines.values() if "same_first_32" in one]
    off = [one["relative"] for one in lines.values() if "relative" in one]
    out = [f"{about['card']}, torch {about['torch']}, transformers {about['transformers']}, {about['date'][:16]}, commit "
           f"{about['commit']}; read rate {about['read_gb_s'] / 1e3:.2f} TB/s, GEMM rate {about['gemm_tflop_s']:.0f} TFLOP/s."]
    if same:
        out[0] += f" Of the first 32 tokens of every row at least {100 * min(same):.1f} % are torch's."
    if off:
        out[0] += f" Hidden states are at most {max(off):.1e} apart (relative L2)."
    out += ["", *table(SPEED, decode_rows(lines)), *table(SPEED, text_rows(lines, "prefill", "encode"))]
    out += table(["ragged, 10 to 100 % of 512", "eet, ms", "padded", "packed", "transformers", "of padded (0.50)",
                  "of packed (0.90)", "share"], ragged_rows(lines))
    out += table(*context_rows(lines))
    out += table(["hidden (1 layer, 4 rows)", "eet, ms a token", "torch", "transformers", "eet / torch", "share",
                  "512 of 1,024: eet, ms", "torch"], hidden_rows(lines))
    out += table(SPEED, text_rows(lines, "grid"))
    out += table(["load", "weights", "eet, s", "transformers", "rate", "memory, eet", "transformers"], load_rows(lines))
    out += others(lines)
    return "\n".join(out).rstrip() + "\n"


def main():
    lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
    newest = lines[-1]["commit"], lines[-1]["card"]
    last = {}
    for line in lines:  # of one commit and card; the last word of a cell counts, but not a failure after a success
        if (line["commit"], line["card"]) == newest and not ("failed" in line and line["cell"] in last):
            last[line["cell"]] = line
    failed = [cell for cell, line in last.items() if "failed" in line]
    text = markdown({cell: line for cell, line in last.items() if cell not in failed})
    text += "".join(f"- `{cell}` failed: {last[cell]['failed']}\n" for cell in failed)
    if "--write" not in sys.argv:
        print(text, end="")
        return
    path = sys.argv[sys.argv.index("--write") + 1]
    page = open(path, encoding="utf-8").read()
    before, rest = page.split(BEGIN)
    open(path, "w", encoding="utf-8").write(before + BEGIN + "\n\n" + text + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
