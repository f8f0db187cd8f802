#!/usr/bin/env bash
# commands.sh - eet-run and eet-encode: what goes in, what comes out, and how they fail.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$EET_BIN:$PATH
failed=0

eet-convert fixtures/checkpoints/gpt2_tiny -o "$work/gpt2.eet" >/dev/null 2>&1
eet-convert fixtures/checkpoints/bert_tiny -o "$work/bert.eet" >/dev/null 2>&1

# gives WHAT EXPECTED COMMAND...: standard output, exactly.
gives() {
    local what=$1 expected=$2 output
    shift 2
    output=$("$@" 2>"$work/stderr") || { echo "$what: exit $?: $(cat "$work/stderr")"; failed=1; }
    if [ "$output" != "$expected" ]; then
        echo "$what: gave '$output', not '$expected'"
        failed=1
    fi
}

# fails WHAT CODE WORDS COMMAND...: nothing on standard output, the words on standard error.
fails() {
    local what=$1 code=$2 words=$3 got=0
    shift 3
    "$@" >"$work/stdout" 2>"$work/stderr" || got=$?
    if [ "$got" != "$code" ] || ! grep -qF -- "$words" "$work/stderr" || [ -s "$work/stdout" ]; then
        echo "$what: exit $got, '$(cat "$work/stderr")', and '$(cat "$work/stdout")' on stdout"
        failed=1
    fi
}

# true_of WHAT PYTHON COMMAND...: the expression holds for `rows`, the JSON Lines that it prints.
true_of() {
    local what=$1 claim=$2
    shift 2
    "$@" >"$work/lines" 2>"$work/stderr" || { echo "$what: $(cat "$work/stderr")"; failed=1; }
    python3 -c 'import json, math, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert eval("(" + sys.argv[2] + ")"), rows' "$work/lines" "$claim" || { echo "$what: not so"; failed=1; }
}

lines() { printf '%s\n' "$@"; }
# shellcheck disable=SC2317 # they are called by name
run() { lines "${@:2}" | eet-run "$work/gpt2.eet" ${1}; }
# shellcheck disable=SC2317
encode() { lines "${@:2}" | eet-encode "$work/bert.eet" ${1}; }

counted=20,25,30,35,40,45,50,55,60,65,70,75,80,85,90,95,100
gives "a row" "$counted" eet-run "$work/gpt2.eet" --ids 5,10,15
gives "a stream" "$counted" eet-run "$work/gpt2.eet" --ids 5,10,15 --stream
gives "two rows" "$(lines 20,25 30,32)" eet-run "$work/gpt2.eet" --ids 5,10,15 --ids 26,28 -n 2
gives "one thread, one row at a time" "$(lines 20,25 30,32)" \
    eet-run "$work/gpt2.eet" --ids 5,10,15 --ids 26,28 -n 2 --threads 1 --batch 1
gives "a stop id" 20,25,30 eet-run "$work/gpt2.eet" --ids 5,10,15 --stop 77,30
gives "a short session" 20,25 eet-run "$work/gpt2.eet" --ids 5,10,15 --max-tokens 4
gives "lines in" "$(lines 20 30)" run "-n 1" '{"ids": [5, 10, 15], "text": "x"}' '' '{"ids":[26,28]}'
gives "a left-padded line" 20 run "-n 1" \
    '{"ids": [0, 0, 5, 10, 15], "attention_mask": [0, 0, 1, 1, 1]}'
gives "no lines" "" run "-n 1" ""
true_of "results" 'rows[0]["id"] == "a" and rows[1]["id"] == 7 and rows[0]["finish"] == "length" and
    rows[0]["ids"] == [20, 25] and all(p <= 0 for p in rows[0]["log_probs"]) and len(rows) == 2' \
    run "--json -n 2" '{"id": "a", "ids": [5, 10, 15]}' '{"id": 7, "ids": [26, 28]}'
true_of "the end" 'rows[0]["finish"] == "eos" and rows[0]["ids"][-1] == 100' \
    run --json '{"ids": [85, 90, 95]}'
true_of "past the end" 'rows[0]["finish"] == "length" and len(rows[0]["ids"]) == 3' \
    run "--json --ignore-eos -n 3" '{"ids": [85, 90, 95]}'
gives "the best beams" "$(lines 12,15,18,21 8,13,18,23)" \
    eet-run "$work/gpt2.eet" --ids 3,6,9 --num-beams 4 --num-return 2 -n 4
gives "a beam as it comes" 12,15,18 eet-run "$work/gpt2.eet" --ids 3,6,9 --num-beams 3 -n 3 --stream
true_of "beams and what they are worth" 'len(rows[0]["beams"]) == 3 and len(rows) == 2 and
    [b["score"] for b in rows[0]["beams"]] == sorted((b["score"] for b in rows[0]["beams"]), reverse=True)
    and all(abs(b["score"] - sum(b["log_probs"]) / len(b["ids"])) < 1e-5 for b in rows[0]["beams"])
    and rows[0]["ids"] == rows[0]["beams"][0]["ids"] and rows[1]["id"] == 4 and
    rows[1]["beams"][0]["finish"] == "eos" and rows[1]["finish"] == "eos"' \
    run "--json --num-beams 3 --num-return 3 -n 6" '{"ids": [3, 6, 9]}' '{"id": 4, "ids": [95, 97]}'
true_of "all texts that there are" 'len(rows[0]["beams"]) == 101' \
    run "--json --num-beams 120 --num-return 120 -n 1" '{"ids": [3, 6, 9]}'
true_of "sums, not means" 'all(abs(b["score"] - sum(b["log_probs"])) < 1e-5 for b in rows[0]["beams"])' \
    run "--json --num-beams 3 --num-return 3 -n 6 --length-penalty 0" '{"ids": [3, 6, 9]}'
true_of "a search that stops early" 'all(b["finish"] in ("eos", "stop") for b in rows[0]["beams"])' \
    run "--json --num-beams 2 --num-return 2 --early-stopping first --stop 12,8" '{"ids": [3, 6, 9]}'
true_of "rows beside each other are rows alone" 'rows[0]["beams"] == rows[2]["beams"] and
    rows[1]["beams"] == rows[3]["beams"]' sh -c "
    printf '%s\n' '{\"ids\": [3, 6]}' '{\"ids\": [40, 41, 42]}' >$work/two
    for batch in 1 8; do
        eet-run $work/gpt2.eet --json --num-beams 3 --num-return 3 -n 6 --batch \$batch <$work/two
    done"
true_of "events" '[r["position"] for r in rows if r["id"] == 1] == [3, 4] and
    [r["token"] for r in rows if r["id"] == 2] == [30, 32] and rows[-1]["finish"] == "length"' \
    run "--json --stream -n 2" '{"id": 1, "ids": [5, 10, 15]}' '{"id": 2, "ids": [26, 28]}'
eet-run "$work/gpt2.eet" --ids 5,10 --timings 2>&1 >/dev/null | grep 'decode: .* tokens/s' >/dev/null ||
    { echo "no timings on standard error"; failed=1; }

drawn=$(eet-run "$work/gpt2.eet" --ids 5,10 --ids 7 --ids 1,2,3 --temperature 8 --seed 3 -n 9)
gives "the same draw with other threads and batches" "$drawn" \
    eet-run "$work/gpt2.eet" --ids 5,10 --ids 7 --ids 1,2,3 --temperature 8 --seed 3 -n 9 \
    --threads 2 --batch 2
gives "the same draw, streamed" "$drawn" \
    eet-run "$work/gpt2.eet" --ids 5,10 --ids 7 --ids 1,2,3 --temperature 8 --seed 3 -n 9 --stream
[ "$(eet-run "$work/gpt2.eet" --ids 5,10 --ids 5,10 --temperature 8 -n 9 | sort -u | wc -l)" = 2 ] ||
    { echo "rows share their random numbers"; failed=1; }
[ "$(eet-run "$work/gpt2.eet" --ids 5,10 --ids 7 --ids 1,2,3 --temperature 8 --seed 4 -n 9)" \
    != "$drawn" ] || { echo "the seed has no effect"; failed=1; }
gives "a draw among one" "$counted" \
    eet-run "$work/gpt2.eet" --ids 5,10,15 --temperature 2 --top-k 1
gives "a draw among hardly any" "$counted" \
    eet-run "$work/gpt2.eet" --ids 5,10,15 --temperature 1 --top-p 1e-9
gives "no draw" 20,25 eet-run "$work/gpt2.eet" --ids 5,10,15 -n 2 --top-k 3
eet-run "$work/gpt2.eet" --ids 5 -n 1 --top-k 3 2>&1 >/dev/null | grep 'note: without --temp' >/dev/null ||
    { echo "nobody says that --top-k has no effect"; failed=1; }
true_of "a minimum" 'len(rows[0]["ids"]) == 8 and 100 not in rows[0]["ids"]' \
    eet-run "$work/gpt2.eet" --ids 85,90,95 --min-new-tokens 8 -n 8 --json
true_of "a penalty" 'len(set(rows[0]["ids"])) == 20' \
    eet-run "$work/gpt2.eet" --ids 1,2,3 --repetition-penalty 100 -n 20 --json --ignore-eos
true_of "the likeliest" '[t[0][0] for t in rows[0]["top"]] == rows[0]["ids"] == [20, 25] and
    all(len(t) == 3 and t[0][1] >= t[1][1] >= t[2][1] for t in rows[0]["top"]) and
    [t[0][1] for t in rows[0]["top"]] == rows[0]["log_probs"]' \
    eet-run "$work/gpt2.eet" --ids 5,10,15 -n 2 --json --logprobs 3
true_of "more of the likeliest than there are" 'len(rows[0]["top"]) == 101 and
    abs(sum(math.exp(p) for _, p in rows[0]["top"]) - 1) < 1e-5' \
    eet-run "$work/gpt2.eet" --ids 5 -n 1 --json --stream --logprobs 256
true_of "scores" 'rows[0]["tokens"] == 4 and rows[0]["log_probs"][0] is None and
    abs(sum(rows[0]["log_probs"][1:]) - rows[0]["log_prob"]) < 1e-9 and rows[0]["id"] == "x" and
    rows[0]["log_prob"] > rows[1]["log_prob"] and rows[0]["top"][0] is None and
    rows[0]["top"][4][0][0] == 25 and rows[2]["tokens"] == 0 == rows[2]["log_prob"]' \
    run "--json --score --logprobs 2" '{"id": "x", "ids": [5, 10, 15, 20, 25]}' \
    '{"ids": [5, 10, 15, 20, 26]}' '{"ids": [7]}'
true_of "sums of scores" 'len(rows) == 2 and 0 > rows[0] > rows[1]' \
    run --score '{"ids": [5, 10, 15, 20, 25]}' '{"ids": [5, 10, 15, 20, 26]}'
true_of "beams" 'len(rows[0]["beams"]) == 2 and rows[0]["beams"][0]["ids"] == rows[0]["ids"] and
    rows[0]["beams"][0]["score"] >= rows[0]["beams"][1]["score"]' \
    eet-run "$work/gpt2.eet" --ids 5,10,15 -n 3 --json --num-beams 3 --num-return 2
[ "$(eet-run "$work/gpt2.eet" --ids 5,10 --ids 7 -n 3 --num-beams 3 --num-return 2 | wc -l)" = 4 ] ||
    { echo "--num-return gives no line a beam"; failed=1; }

# interrupted SIGNAL OPTION...: what came is whole, the code is 130.
interrupted() {
    local signal=$1 code=0
    shift
    seq -f '{"ids": [%g, 3]}' 0 1 99 | awk '{for (i = 0; i < 3000; i++) print}' >"$work/many"
    eet-run "$work/gpt2.eet" --json "$@" <"$work/many" >"$work/lines" 2>"$work/stderr" &
    local pid=$!
    for _ in $(seq 200); do
        [ -s "$work/lines" ] && break
        sleep 0.05
    done
    kill -s "$signal" "$pid"
    wait "$pid" || code=$?
    [ "$code" = 130 ] || { echo "after SIG$signal: exit $code, $(cat "$work/stderr")"; failed=1; }
    python3 -c 'import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert rows and all("error" not in row for row in rows)' "$work/lines" ||
        { echo "after SIG$signal: no JSON Lines"; failed=1; }
}
interrupted TERM --ignore-eos
interrupted HUP --score
# While it waits for input there is nothing to finish.
mkfifo "$work/input"
exec 3<>"$work/input"
eet-run "$work/gpt2.eet" --batch 1 -n 1 <"$work/input" >"$work/first" &
waiting=$!
echo '{"ids": [5, 10, 15]}' >&3
for _ in $(seq 200); do
    [ -s "$work/first" ] && break
    sleep 0.05
done
code=0
kill -s TERM "$waiting"
wait "$waiting" || code=$?
exec 3>&-
[ "$code" = 130 ] || { echo "a signal while it waits: exit $code"; failed=1; }

fails "a mass of nothing" 2 "--top-p 0 leaves no token" \
    eet-run "$work/gpt2.eet" --ids 5 --temperature 1 --top-p 0
fails "a penalty that divides by 0" 2 "--repetition-penalty is above 0" \
    eet-run "$work/gpt2.eet" --ids 5 --repetition-penalty 0
fails "scores beyond all numbers" 2 "from -40 to 40" \
    eet-run "$work/gpt2.eet" --ids 5 --num-beams 2 --length-penalty -1000
gives "beams among all" 12,15,18 \
    eet-run "$work/gpt2.eet" --ids 3,6,9 --num-beams 3 -n 3 --top-p 1 --repetition-penalty 1
fails "likeliest tokens without JSON" 2 "goes with --json" \
    eet-run "$work/gpt2.eet" --ids 1 --logprobs 3
for option in "-n 3" "--temperature 0" "--top-k 3" "--top-p 1" "--seed 0" "--repetition-penalty 1" \
    "--min-new-tokens 0" "--stop 3" --ignore-eos "--num-beams 1" "--num-return 1" \
    "--length-penalty 1" "--early-stopping first" --stream; do
    name=${option%% *}
    # shellcheck disable=SC2086  # an option and its value
    fails "scores with $option" 2 "${name/#-n/--max-new-tokens} has no effect with --score" \
        eet-run "$work/gpt2.eet" --ids 1 --score $option
done
gives "scores with what is about rows" "$(eet-run "$work/gpt2.eet" --ids 5,10 --score)" \
    eet-run "$work/gpt2.eet" --score --ids 5,10 --batch 1 --max-tokens 9 --threads 1
fails "more beams to print than there are" 2 "--num-return is more" \
    eet-run "$work/gpt2.eet" --ids 1 --num-return 2
fails "a minimum above the maximum" 2 "min_new_tokens is 9, outside 0 to 8" \
    eet-run "$work/gpt2.eet" --ids 1 -n 8 --min-new-tokens 9
fails "a probability above 1" 2 "--top-p takes a number from 0 to 1" \
    eet-run "$work/gpt2.eet" --ids 1 --top-p 1.5
fails "a temperature below 0" 2 "--temperature takes a number from 0" \
    eet-run "$work/gpt2.eet" --ids 1 --temperature -1
fails "scores of an encoder" 3 "no decoder" eet-run "$work/bert.eet" --ids 1 --score
fails "an id too high" 2 "line 2: token id 101 is outside the vocabulary of 101" \
    run "" '{"ids": [1]}' '{"ids": [101]}'
fails "no JSON" 2 "line 1: " run "" 'hello'
fails "no ids" 2 'line 1: there is no list "ids"' run "" '{"text": "x"}'
fails "an id that cannot come back" 2 'line 1: "id" is neither' run "" '{"id": 1.5, "ids": [1]}'
fails "a mask of another length" 2 'line 1: "attention_mask"' \
    run "" '{"ids": [1, 2], "attention_mask": [1]}'
fails "words for ids" 2 '--ids wants ids like 1,2,3, not "a,b"' eet-run "$work/gpt2.eet" --ids a,b
fails "a text too long" 6 "positions" \
    eet-run "$work/gpt2.eet" --ids "$(seq -s, 1 100),$(seq -s, 1 100)"
fails "no such file" 5 "missing.eet" eet-run "$work/missing.eet" --ids 1
fails "more beams than there are" 2 "--num-return is more than --num-beams" \
    eet-run "$work/gpt2.eet" --ids 1 --num-beams 2 --num-return 3
fails "a search that draws" 2 "a beam search draws no tokens" \
    eet-run "$work/gpt2.eet" --ids 1 --num-beams 2 --temperature 1
fails "an encoder that should go on" 3 "decoder" eet-run "$work/bert.eet" --ids 1
fails "a decoder's pooler" 2 'no head "pooler"' \
    eet-encode "$work/gpt2.eet" --ids 1 --pooling pooler

true_of "means" 'len(rows) == 2 and rows[0]["id"] == "x" and len(rows[0]["embedding"]) == 32 and
    abs(sum(v * v for v in rows[0]["embedding"]) - 1) < 1e-6' \
    encode --normalize '{"id": "x", "ids": [1, 2, 3]}' '{"ids": [4]}'
true_of "right padding is no part of a row" 'rows[0]["embedding"] == rows[1]["embedding"]' \
    encode "" '{"ids": [1, 2, 3, 0, 0], "attention_mask": [1, 1, 1, 0, 0]}' '{"ids": [1, 2, 3]}'
true_of "a token that is masked out keeps its place" \
    'rows[0]["hidden"] != rows[1]["hidden"] and len(rows[0]["hidden"]) == 2' \
    encode "--pooling none" '{"ids": [1, 9, 3], "attention_mask": [1, 0, 1]}' '{"ids": [1, 3]}'
true_of "types count" 'rows[0]["embedding"] != rows[1]["embedding"] == rows[2]["embedding"]' \
    encode "--pooling cls" '{"ids": [1, 2], "types": [0, 1]}' '{"ids": [1, 2]}' \
    '{"ids": [1, 2], "types": [0, 0]}'
true_of "the pooler" 'all(-1 <= v <= 1 for v in rows[0]["embedding"])' \
    encode "--pooling pooler" '{"ids": [1, 2]}'
true_of "the pooler by name" 'len(rows[0]["values"]) == 32' encode "--head pooler" '{"ids": [1, 2]}'

# Heads: several at once, and tokens that one is asked about.
for name in gpt2_double sentence_dense; do
    eet-convert "fixtures/checkpoints/$name" -o "$work/$name.eet" >/dev/null 2>&1
done
# shellcheck disable=SC2317
choose() { lines "${@:2}" | eet-encode "$work/gpt2_double.eet" ${1}; }
true_of "two heads" 'len(rows[0]["values"]["lm"]) == 2 and len(rows[0]["values"]["lm"][1]) == 70 and
    len(rows[0]["values"]["choice"]) == 1' choose "--head lm --head choice" '{"ids": [1, 2]}'
true_of "given tokens" 'rows[0]["values"] == rows[1]["values"][1] == rows[2]["values"] and
    rows[0]["values"] != rows[1]["values"][0] and rows[3]["values"] == []' choose "--head choice" \
    '{"ids": [1, 2, 3]}' '{"ids": [1, 2, 3], "at": [0, 2]}' '{"ids": [1, 2, 3], "at": 2}' \
    '{"ids": [1, 2, 3], "at": []}'
true_of "a given token keeps its place under a mask" 'rows[0]["values"] == rows[1]["values"]' \
    choose "--head choice" '{"ids": [1, 2, 9, 9], "at": 1, "attention_mask": [1, 1, 0, 0]}' \
    '{"ids": [1, 2], "at": 1}'
true_of "who asks no head may use the key" 'len(rows) == 1' \
    choose "--head lm" '{"ids": [1, 2], "at": "home"}'
fails "a given token behind the row" 2 '"at" is 2, and the row has tokens 0 to 1' \
    choose "--head choice" '{"ids": [1, 2], "at": 2}'
fails "given tokens that do not ascend" 2 '"at"[1] is 0' \
    choose "--head choice" '{"ids": [1, 2], "at": [1, 0]}'
fails "a given token that is masked out" 2 '"at" names token 1' \
    choose "--head choice" '{"ids": [1, 2], "at": 1, "attention_mask": [1, 0]}'
fails "words for a place" 2 '"at" is not a list' choose "--head choice" '{"ids": [1], "at": "x"}'
fails "a head twice" 2 "--head lm is given twice" choose "--head lm --head lm" '{"ids": [1]}'
fails "two heads in one npy" 2 "one --head" \
    choose "--head lm --head choice --format npy -o $work/two.npy" '{"ids": [1]}'
# shellcheck disable=SC2317
embed() { lines "${@:2}" | eet-encode "$work/sentence_dense.eet" ${1}; }
true_of "a model's own vector is the default" 'len(rows[0]["embedding"]) == 20' \
    embed "" '{"ids": [1, 2]}'
embed "" '{"ids": [1, 2]}' >"$work/own"
true_of "and has a name" 'rows[0]["values"] == json.load(open(sys.argv[1][:-5] + "own"))["embedding"]' \
    embed "--head sentence" '{"ids": [1, 2]}'
true_of "--pooling goes before it" 'len(rows[0]["embedding"]) == 24' \
    embed "--pooling mean" '{"ids": [1, 2]}'
true_of "the last token's vector" 'rows[0]["embedding"] == rows[1]["hidden"][-1]' sh -c \
    "for how in last none; do eet-encode $work/sentence_dense.eet --ids 3,1,4 --pooling \$how; done"

encode "--format npy -o $work/out.npy" '{"ids": [1, 2, 3]}' '{"ids": [4]}'
encode "" '{"ids": [1, 2, 3]}' '{"ids": [4]}' >"$work/lines"
"${EET_PYTHON:-/usr/bin/python3}" -c 'import json, numpy, sys
rows = [json.loads(line)["embedding"] for line in open(sys.argv[2])]
array = numpy.load(sys.argv[1])
assert array.dtype == "float32" and (array == numpy.array(rows, "float32")).all()' \
    "$work/out.npy" "$work/lines" || { echo "npy is not what JSON Lines say"; failed=1; }
fails "a file that is there" 2 "exists" encode "--format npy -o $work/out.npy" '{"ids": [1]}'
ln -s nowhere "$work/dangling.npy"
fails "a link to nothing is there too" 2 "exists" \
    encode "--format npy -o $work/dangling.npy" '{"ids": [1]}'
encode "--format npy --force -o $work/out.npy" '{"ids": [1]}'
fails "npy without a file" 2 "go together" encode "--format npy" '{"ids": [1]}'
fails "a failure leaves nothing" 2 "line 2" \
    encode "--batch 1 --format npy -o $work/none.npy" '{"ids": [1]}' '{"ids": [-1]}'
encode "--format npy -o $work/empty.npy" ""
"${EET_PYTHON:-/usr/bin/python3}" -c 'import numpy, sys
assert numpy.load(sys.argv[1]).shape == (0, 32)' "$work/empty.npy" ||
    { echo "no rows make no npy of the right width"; failed=1; }
[ -z "$(find "$work" -name 'none*')" ] || { echo "a failure left a file"; failed=1; }

# An encoder's ids beside the decoder's: the decoder's first token is </s>, 2.
eet-convert fixtures/checkpoints/fs012_nmt/checkpoint_best.pt -o "$work/nmt.eet" >/dev/null
two='--source-ids 8,25,9,2 --source-ids 5,2'
# shellcheck disable=SC2086  # several words
gives "sources with the first token that the model names" \
    "$(eet-run "$work/nmt.eet" $two --ids 2 --ids 2 -n 6)" eet-run "$work/nmt.eet" $two -n 6
# shellcheck disable=SC2086
gives "sources one by one" "$(eet-run "$work/nmt.eet" $two -n 6 --num-beams 3)" \
    eet-run "$work/nmt.eet" $two -n 6 --num-beams 3 --batch 1
lines '{"id": 1, "source_ids": [8, 25, 9, 2]}' '{"ids": [2, 4], "source_ids": [5, 2]}' >"$work/pair"
true_of "sources as JSON Lines" '[len(r["ids"]) for r in rows] == [6, 6] and rows[0]["id"] == 1' \
    sh -c "eet-run $work/nmt.eet --json -n 6 --ignore-eos <$work/pair"
true_of "scores with a source" 'rows[0]["tokens"] == 2 and rows[0]["log_prob"] != rows[1]["log_prob"]' \
    eet-run "$work/nmt.eet" --json --score --ids 2,5,7 --ids 2,5,7 --source-ids 9,2 --source-ids 4,2
fails "no source" 2 "line 1: there are no source ids" sh -c "echo '{\"ids\": [2]}' | eet-run $work/nmt.eet"
fails "a source too many" 2 "no encoder reads them" eet-run "$work/gpt2.eet" --ids 1 --source-ids 2
fails "an id beyond the source's" 2 "source id 99999 is outside" eet-run "$work/nmt.eet" --source-ids 99999
fails "more sources than rows" 2 "as often as --ids" \
    eet-run "$work/nmt.eet" --ids 2 --source-ids 4,2 --source-ids 5,2

# eet-encode runs the decoder where rows have source ids (their values: encode_sources.py).
# shellcheck disable=SC2317
pair() { lines "${@:2}" | eet-encode "$work/nmt.eet" ${1}; }
true_of "the width of the stack that runs" \
    '[len(r["embedding"]) for r in rows] == [24, 32]' sh -c "
    eet-encode $work/nmt.eet --ids 8,25,2 && eet-encode $work/nmt.eet --source-ids 8,25,2"
true_of "the first token that the model names" 'rows[0]["hidden"] == rows[1]["hidden"] and
    len(rows[0]["hidden"]) == 1 and rows[0]["id"] == "x"' pair "--pooling none" \
    '{"id": "x", "source_ids": [8, 25, 2]}' '{"ids": [2], "source_ids": [8, 25, 2]}'
true_of "longer sources behind shorter ones" 'rows[0] == rows[2] and rows[1] != rows[0]' \
    pair "--head lm --batch 1" '{"source_ids": [8, 2]}' \
    "{\"source_ids\": [$(seq -s, 4 30), 2]}" '{"source_ids": [8, 2]}'
fails "a decoder's head without sources" 2 'head "lm" reads the decoder' \
    pair "--head lm" '{"ids": [2]}'
fails "a source in the second row alone" 2 "line 2: there are source ids, and no encoder reads them" \
    pair "" '{"ids": [2]}' '{"ids": [2], "source_ids": [8, 2]}'
fails "a source in the first row alone" 2 "line 2: there are no source ids" \
    pair "" '{"ids": [2], "source_ids": [8, 2]}' '{"ids": [2]}'
fails "an empty source" 2 "line 1: there are no source ids" pair "" '{"ids": [2], "source_ids": []}'
fails "an id beyond the source's when encoding" 2 "source id 99999 is outside" \
    pair "" '{"source_ids": [99999]}'
fails "an encoder alone has no sources" 2 "no encoder reads them" \
    eet-encode "$work/bert.eet" --ids 1 --source-ids 2
fails "more rows than sources to encode" 2 "as often as --ids" \
    eet-encode "$work/nmt.eet" --ids 2 --ids 2 --source-ids 4,2

# A line for which there is no memory is no end of the lines, nor wrong JSON.
if ! ldd "$(command -v eet-run)" | grep 'lib[at]san' >/dev/null; then # these need more by themselves
    python3 -c 'print("{\"ids\": [" + "5, " * 10000000 + "5]}")' >"$work/long"
    for limit in 60000 200000; do
        fails "a line beyond $limit KiB of memory" 6 "memory" \
            sh -c "ulimit -v $limit && eet-run '$work/gpt2.eet' --threads 1 <'$work/long'"
    done
fi

for command in eet-run eet-encode; do
    [ "$($command --help | wc -l)" -le 24 ] || { echo "$command --help is no screen"; failed=1; }
    code=0
    $command "$work/gpt2.eet" --ids 1,2 >/dev/full 2>/dev/null || code=$?
    [ "$code" = 5 ] || { echo "$command on a full disk: exit $code"; failed=1; }
done
exit "$failed"
