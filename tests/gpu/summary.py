#!/usr/bin/env python3
"""A log of gpu_check as a table for docs/gpu-check.md: summary.py build/gpu-check.jsonl"""
import json
import sys

VERDICTS = ("passed", "failed", "skipped", "not reached")

lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
last = {line["case"]: line for line in lines}  # --resume appends: the last word counts
stages = {}
for line in last.values():
    stages.setdefault(line["case"].split(".")[0], []).append(line)
first = lines[0]
print(f"{first['date'][:10]}, {first['card']}, driver {first['driver']}, commit {first['commit']}:\n")
print("| Stage | " + " | ".join(VERDICTS) + " | seconds |")
print("| --- " * (len(VERDICTS) + 2) + "|")
for stage, cases in list(stages.items()) + [("all", list(last.values()))]:
    counts = [str(sum(case["verdict"] == verdict for case in cases)) for verdict in VERDICTS]
    seconds = sum(case["seconds"] for case in cases)
    print(f"| `{stage}` | " + " | ".join(counts) + f" | {seconds:.0f} |")
for case in last.values():
    if case["case"].startswith("large.memory") and case["verdict"] == "passed":
        print(f"\nMemory of a session of one text: {case['detail']}.")
others = [case for case in last.values() if case["verdict"] != "passed"]
if others:
    print()
for case in others:
    print(f"- `{case['case']}` {case['verdict']}: {case['detail']}")
