#!/usr/bin/env bash
# bench.sh - eet-bench: every combination once, in every format; counts what a call costs as the
# formulas of the textbook do; finds a model whose values are wrong; refuses what cannot run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$EET_BIN:$PATH
failed=0
shape=layers=2,hidden=64,heads=4,vocab=1000,positions=96

eet-convert fixtures/checkpoints/gpt2_tiny -o "$work/gpt2.eet" >/dev/null 2>&1
eet-convert fixtures/checkpoints/bert_tiny -o "$work/bert.eet" >/dev/null 2>&1

# true_of WHAT CODE PYTHON ARGUMENT...: eet-bench ends with CODE and the expression holds for what it
# prints, `out`, as JSON also `doc`.
true_of() {
    local what=$1 code=$2 claim=$3 got=0
    shift 3
    eet-bench "$@" >"$work/stdout" 2>"$work/stderr" || got=$?
    if [ "$got" != "$code" ]; then
        echo "$what: exit $got, against $code: $(cat "$work/stderr")"
        failed=1
    fi
    python3 -c 'import csv, json, math, sys
out = open(sys.argv[1], encoding="utf-8").read()
err = open(sys.argv[2], encoding="utf-8").read()
doc = json.loads(out) if out.startswith("{\n") else None
assert eval("(" + sys.argv[3] + ")"), out + err' "$work/stdout" "$work/stderr" "$claim" ||
        { echo "$what: not so"; failed=1; }
}

# fails WHAT CODE WORDS ARGUMENT...: nothing on standard output, the words on standard error.
fails() {
    local what=$1 code=$2 words=$3 got=0
    shift 3
    eet-bench "$@" >"$work/stdout" 2>"$work/stderr" || got=$?
    if [ "$got" != "$code" ] || ! grep -qF -- "$words" "$work/stderr" || [ -s "$work/stdout" ]; then
        echo "$what: exit $got, '$(cat "$work/stderr")', and '$(cat "$work/stdout")' on stdout"
        failed=1
    fi
}

true_of "every combination once" 0 \
    'sorted((r["test"], r["tokens"], r["batch"], r["threads"], r["depth"]) for r in doc["results"]) ==
     sorted((t, n, b, j, d) for t, n in (("prefill", 3), ("prefill", 8), ("decode", 4))
            for b in (1, 3) for j in (1, 2) for d in (0, 5))
     and all(r["model"] == sys.argv[1][:-6] + "gpt2.eet" and r["dtype"] == "f32" and r["repetitions"] == 2
             for r in doc["results"])' \
    "$work/gpt2.eet" -p 3,8 -n 4 -b 1,3 -t 1,2 -d 0,5 -r 2 --format json

# 12 h^2 of a layer's weights, twice each token; the head for the last; scores and sums over them.
# Bytes: 13 h of biases and norms, rows of both tables; weights are f16, keys and values f32.
true_of "what a call costs" 0 \
    '[(r["flops"], r["bytes"]) for r in doc["results"]] == [
        (3 * (40 * 24 * 2 * 64**2 + 2 * 1000 * 64 + 4 * 2 * 64 * (40 * 20 + 40 * 41 // 2)),
         2 * (2 * (12 * 64**2 + 13 * 64) + 2 * 64 + 1000 * 64 + 3 * 40 * 2 * 64)
         + 4 * 3 * 60 * 2 * 2 * 64),
        (3 * (24 * 2 * 64**2 + 2 * 1000 * 64 + 4 * 2 * 64 * 23),
         2 * (2 * (12 * 64**2 + 13 * 64) + 2 * 64 + 1000 * 64 + 3 * 2 * 64) + 4 * 3 * 23 * 2 * 2 * 64)]' \
    --random "$shape,dtype=f16" -p 40 -n 5 -b 3 -d 20 -r 1 --format json
true_of "what a text costs" 0 \
    '[r["flops"] for r in doc["results"]] == [2 * (10 * 24 * 64 * 64 + 4 * 64 * 10 * 10)]' \
    --random layers=1,hidden=64,heads=2,vocab=50,kind=encoder -p 10 -b 2 -r 1 --format json
true_of "numbers that fit together" 0 \
    'all(math.isclose(r["tokens_per_second"]["median"] * r["ms"]["median"] / 1e3,
                      r["batch"] * (r["tokens"] if r["test"] == "prefill" else 1), rel_tol=1e-9)
         and math.isclose(r["share_of_read_rate"] * r["read_rate"] * r["ms"]["median"] / 1e3, r["bytes"],
                          rel_tol=1e-9)
         and r["ms"]["mean"] > 0 and r["ms"]["deviation"] >= 0 and r["read_rate"] > 1e8
         for r in doc["results"]) and doc["schema_version"] == 1 and doc["machine"]["cpus"] >= 1' \
    --random "$shape" -n 20 -b 2 -r 3 --format json

true_of "a table" 0 \
    '[l.split("|")[3].strip() for l in out.splitlines() if l.startswith("|")][2:] ==
     ["encode 6", "encode 9"] and len({len(l) for l in out.splitlines() if l.startswith("|")}) == 1
     and "memory is read at" in out' \
    "$work/bert.eet" -p 6,9 -r 1
true_of "CSV" 0 \
    '[(r["model"], r["dtype"], r["test"]) for r in csv.DictReader(out.splitlines())] ==
     [("'"$shape"'", d, t) for d in ("f32", "bf16") for t in ("prefill", "decode")]' \
    --random "$shape" --dtype f32,bf16 -p 4 -n 4 -r 1 --format csv
true_of "lines of JSON" 0 \
    '[(r["schema_version"], r["test"]) for r in map(json.loads, out.splitlines())] ==
     [(1, "check"), (1, "prefill")] ' \
    "$work/gpt2.eet" --check -p 4 -n 0 -r 1 --format jsonl

true_of "what is right passes the check" 0 \
    '[c["good"] and 0 < c["relative_l2"] <= c["bound"] == 1e-5 for c in doc["checks"]] == [True] * 4
     and doc["results"] == []' \
    "$work/gpt2.eet" --random "$shape,dtype=f16" --random "$shape,dtype=bf16" \
    --random layers=3,hidden=60,heads=5,vocab=99,ffn=70,kind=encoder --check -p 0 -n 0 --format json
# A weight that is no number.
python3 - "$work/gpt2.eet" "$work/nan.eet" <<'EOF'
import json, subprocess, sys
data = bytearray(open(sys.argv[1], "rb").read())
tensors = json.loads(subprocess.check_output(["eet-inspect", "--json", sys.argv[1]]))["tensors"]
at = next(t["offset"] for t in tensors if t["name"] == "dec.0000.ffn.fc2.b")
data[at:at + 4] = b"\0\0\xc0\x7f"
open(sys.argv[2], "wb").write(data)
EOF
true_of "what is wrong fails it, and is not timed" 1 \
    '[c["good"] for c in doc["checks"]] == [False] and doc["results"] == []' \
    "$work/nan.eet" --check -r 1 --format json

fails "no model" 2 "a MODEL.eet or --random is missing"
fails "an unknown name" 2 'there is no model "gpt3"' --random gpt3
fails "half a shape" 2 "needs at least layers=" --random layers=2,hidden=64
fails "heads that do not divide" 2 "no multiple of 5 heads" --random layers=1,hidden=64,heads=5,vocab=9
fails "an unknown part" 2 'there is no "depth"' --random "$shape,depth=3"
fails "a huge part" 2 "layers is \"99999\"" --random layers=99999,hidden=64,heads=4,vocab=9
fails "no list" 2 '--batch: "x" is no number' "$work/gpt2.eet" -b 1,x
fails "no rows" 2 '--batch: "0" is no number' "$work/gpt2.eet" -b 0
fails "an unknown dtype" 2 '--dtype: "int8" is no dtype' "$work/gpt2.eet" --dtype int8
fails "two dtypes" 2 "exclude each other" --random "$shape,dtype=f16" --dtype f16
fails "too long a text" 2 "has 96 positions, and 90 tokens behind 8 are too many" \
    --random "$shape" -p 4,90 -d 0,8
fails "tokens of an encoder" 2 "is an encoder" "$work/bert.eet" -n 4
fails "tokens of an encoder, behind none" 2 "is an encoder" "$work/bert.eet" -n 0,4
fails "an encoder's past" 2 "is an encoder" "$work/bert.eet" -d 4
fails "no file" 5 "No such file" "$work/absent.eet"
[ "$failed" = 0 ] && echo "eet-bench keeps its promises"
exit "$failed"
