#!/usr/bin/env bash
# check.sh - what gpu_check says: on the CPU, without a device, of cases that end in every way, of
# wrong numbers, and of what a log has already. $1 is the build.
set -euo pipefail

build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pack=$work/pack

fail() {
    echo "$*" >&2
    exit 1
}

# Runs gpu_check; its lines are in $work/lines, its exit status is $1.
expect_exit() {
    local wanted=$1 got=0
    shift
    "$pack/gpu_check" "$@" >"$work/lines" 2>"$work/summary" || got=$?
    [ "$got" = "$wanted" ] ||
        fail "gpu_check $*: exit $got, not $wanted: $(cat "$work/summary" "$work/lines")"
}

# One line of this case and verdict, and what else is given is in it.
expect_line() {
    local line
    line=$(grep -F "\"case\": \"$1\", \"verdict\": \"$2\"" "$work/lines") ||
        fail "no line says that $1 was $2: $(cat "$work/lines")"
    [ "$(wc -l <<<"$line")" = 1 ] || fail "$1 has several lines: $line"
    [[ $line == *"${3-}"* ]] || fail "\"$3\" is not in $line"
}

expect_count() {
    [ "$(wc -l <"$work/lines")" = "$1" ] || fail "not $1 lines: $(cat "$work/lines")"
}

bash "$here/pack.sh" "$build" "$pack" gpt2_tiny bert_tiny fs012_nmt >"$work/said"

# Every way to end. What fails or crashes ends its process; the cases behind it run in another.
expect_exit 1 --stage self --device cpu --log "$work/log"
expect_count 13
expect_line self.one.passes passed 'number 0'
expect_line self.one.fails failed '"detail": "a \"reason\" in two lines"'
expect_line self.one.after passed
expect_line self.one.crashes failed 'its process'
expect_line self.one.skips skipped 'case 0 has nothing to do here'
expect_line self.one.leaves failed 'left with status 0'
expect_line self.one.last passed
expect_line self.two.before passed
expect_line self.two.hangs 'not reached' 'the 1 s of its group were over'
expect_line self.two.behind 'not reached'
expect_line self.three.passes passed
expect_line self.four.limits passed
expect_line self.four.complaints passed
cmp "$work/lines" "$work/log" || fail "the log is not what was said"
grep -q '^7 passed, 3 failed, 1 skipped, 2 not reached' "$work/summary" ||
    fail "the summary: $(cat "$work/summary")"
/usr/bin/python3 - "$work/lines" "$(cat "$pack/commit")" <<'EOF'
import json, sys
for line in open(sys.argv[1]):
    said = json.loads(line)
    assert said["schema_version"] == 1 and said["commit"] == sys.argv[2], said
    assert said["card"] == "cpu" and said["date"] and "driver" in said and said["seconds"] >= 0, said
EOF

# What passed does not run again; what did not does, behind what the log has.
expect_exit 1 --stage self --device cpu --resume "$work/log"
expect_count 6
expect_line self.one.fails failed
expect_line self.two.hangs 'not reached'
[ "$(wc -l <"$work/log")" = 19 ] || fail "the log was not gone on with"
expect_exit 0 --only self.one.passes,self.three --device cpu --resume "$work/log"
expect_count 0
sed -i 's/"commit": "[^"]*"/"commit": "another"/' "$work/log"
expect_exit 0 --only self.one.passes --device cpu --resume "$work/log"
expect_line self.one.passes passed

# A spent budget: what had no time is not reached.
expect_exit 1 --only self.two.hangs,self.three --device cpu --budget 0.5
expect_line self.two.hangs 'not reached' 'the budget of 0 s was spent'
expect_line self.three.passes 'not reached'

# Without a device nothing passes.
if CUDA_VISIBLE_DEVICES=-1 expect_exit 77 --device cuda --only identity,models.gpt2_tiny,large; then
    expect_line models.gpt2_tiny.f16 skipped 'no CUDA device'
    expect_line large.memory.f16 skipped 'no CUDA device'
    ! grep -q '"verdict": "\(passed\|failed\|not reached\)"' "$work/lines" ||
        fail "something ran: $(cat "$work/lines")"
fi
expect_exit 2 --device gpu
expect_exit 0 --list --device cpu --only models.gpt2_tiny,self
expect_count 16
expect_exit 2 --nonsense

# Models, steps, greedy tokens, beams and draws of three fixtures, and the rest, on the CPU.
expect_exit 0 --device cpu \
    --only identity.m,identity.li,models,dtypes,steps,greedy,beams,draws,heads.size26,large,schedules.encode.f16
for one in dtypes.gpt2_tiny.f32_as_f16 models.gpt2_tiny.f32 models.bert_tiny.bf16 models.fs012_nmt.f16 steps.gpt2_tiny.f16 \
    steps.fs012_nmt.f32 greedy.gpt2_tiny.f32 greedy.fs012_nmt.f32 beams.gpt2_tiny draws.gpt2_tiny \
    heads.size26.f32 large.memory.f16 large.hidden_decoder.f16 schedules.encode.f16; do
    expect_line "$one" passed
done

# A case under compute-sanitizer, for which a script stands that knows no lanes and finds races in
# attend_pages and in $OTHER: one race more than those is seen, and so is a case that does not pass.
mkdir "$work/bin"
cat >"$work/bin/compute-sanitizer" <<'EOF'
#!/usr/bin/env bash
[[ $* == "--tool racecheck --error-exitcode 99 --print-limit 0 --show-backtrace no "* ]] || exit 1
race() {
    printf '========= Error: Race reported between Write access at %s+0x10\n' "$1"
    printf '=========     and Read access at %s+0x20 [8 hazards]\n========= \n' "$1"
}
if [[ $* == *"/races lanes" ]]; then
    race by_lanes
    exit 99
fi
report=${*: -1} cases=${*: -3:1}
for one in ${cases//,/ }; do
    printf 'end\t%s\t%s\t0\t\n' "$one" "${VERDICT:-passed}" >>"$report"
done
race 'void <unnamed>::attend_pages<lanes_of<f16, (int)4>>(int)'
[ -z "$OTHER" ] || race "$OTHER"
echo '========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)'
exit 99
EOF
chmod +x "$work/bin/compute-sanitizer"
# What the case told, with these variables, has these words.
expect_told() {
    local words=$1
    shift
    env PATH="$work/bin:$PATH" "$@" "$pack/gpu_check" --device cuda --run sanitize.racecheck \
        --report "$work/report" || true
    [[ $(cat "$work/report") == *$words* ]] || fail "\"$words\" is not in: $(cat "$work/report")"
    rm "$work/report"
}
expect_told $'\tpassed\t' OTHER=
expect_told '3 lines of attend_pages' OTHER=
expect_told 'between Write access at another+0x10' OTHER=another
expect_told '0 of 3 cases passed' OTHER= VERDICT=failed

# Wrong numbers are seen.
"$build/tests/pack_goldens" "$pack/goldens.eet" "$here/../../fixtures/golden" \
    --spoil gpt2_tiny hidden >"$work/said"
expect_exit 1 --device cpu --only models.gpt2_tiny.f32,models.gpt2_tiny.bf16,models.bert_tiny.f32
expect_line models.gpt2_tiny.f32 failed
expect_line models.gpt2_tiny.bf16 failed 'relative error 0.09'
expect_line models.bert_tiny.f32 passed
echo "gpu_check: fine"
