"""sampling.py - eet-run's draws, penalties and scores beside those of transformers' generate.

    build/oracle/bin/python tests/oracle/sampling.py EET_RUN NAME.eet ...    (of the fixtures NAME)

What is drawn comes from a seed: temperatures, filters, penalties, minimum lengths, end tokens, rows
of several lengths. Ids must be the same, log-probabilities and scores within 1e-4; a row is left out
where transformers itself goes on otherwise in float32 than in float64.
"""

import json
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "fixtures"))

from make_sampling import Draw, continue_row, read_model, score_row  # noqa: E402

import torch  # noqa: E402

DRAWS = 12  # of each model


def draw_options(draw, vocab):
    """Any way to choose."""
    new = draw.randint(1, 16)
    return Draw(
        new,
        temperature=draw.choice([0.0, 0.3, 1.0, 1.0, 2.5]),
        top_k=draw.choice([0, 0, 1, 5, vocab // 2, vocab + 7]),
        top_p=draw.choice([1.0, 1.0, 0.1, 0.6, 0.95]),
        penalty=draw.choice([1.0, 1.0, 1.3, 0.8]),
        least=draw.choice([0, 0, draw.randint(0, new)]),
        seed=draw.getrandbits(63),
        stops=tuple(draw.sample(range(vocab), draw.choice([0, 1, 5]))),
        ignore_eos=draw.random() < 0.2,
    )


def run_ours(program, model, rows, more):
    """The objects that eet-run prints."""
    command = [program, str(model), "--json", "--batch", "3", "--logprobs", "4"] + more
    lines = "".join(json.dumps({"ids": row}) + "\n" for row in rows)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.returncode}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def arguments(how):
    """The same for eet-run."""
    more = ["--max-new-tokens", str(how.new), "--min-new-tokens", str(how.least)]
    more += ["--temperature", str(how.temperature), "--top-p", str(how.top_p)]
    more += ["--top-k", str(how.top_k)] if how.top_k else []
    more += ["--repetition-penalty", str(how.penalty), "--seed", str(how.seed)]
    more += ["--stop", ",".join(map(str, how.stops))] if how.stops else []
    return more + (["--ignore-eos"] if how.ignore_eos else [])


def is_near(ours, theirs):
    """Are these log-probabilities the same within float32's bound?"""
    return all(abs(a - b) <= 1e-4 * max(1, abs(b)) for a, b in zip(ours, theirs, strict=True))


def top_of(scores, count):
    """The largest log-probabilities."""
    return torch.log_softmax(scores.double(), -1).topk(count).values.tolist()


def differences(model, row, printed, tokens, log_probs):
    """What differs between a row's texts."""
    if printed["ids"] != tokens:
        return [f"{printed['ids']}, not {tokens}"]
    problems = [] if is_near(printed["log_probs"], log_probs) else ["log-probabilities"]
    with torch.no_grad():
        scores = model(torch.tensor([row + tokens])).logits[0]
    for at, told in enumerate(printed["top"]):
        if not is_near([pair[1] for pair in told], top_of(scores[len(row) + at - 1], 4)):
            problems.append(f"the likeliest at {at}: {told}")
    return problems


def compare(program, path, draw):
    """(rows compared, rows left out, tokens, problems) of one model."""
    exact, plain = (read_model(path.stem, dtype) for dtype in (torch.float64, torch.float32))
    vocab, positions = exact.config.vocab_size, exact.config.n_positions
    compared, close, count, problems = 0, 0, 0, []
    for _ in range(DRAWS):
        how = draw_options(draw, vocab)
        most = min(positions - how.new, 70)
        rows = [
            [draw.randrange(vocab) for _ in range(draw.randint(1, most))]
            for _ in range(draw.randint(1, 4))
        ]
        ours = run_ours(program, path, rows, arguments(how))
        scored = run_ours(program, path, rows, ["--score"])
        for at, row in enumerate(rows):
            tokens, log_probs = continue_row(exact, row, how, at)
            if not is_near(scored[at]["log_probs"][1:], score_row(exact, row)[1:]):
                problems.append(f"{path.stem}: scores of {row}")
            if tokens != continue_row(plain, row, how, at)[0]:
                close += 1
                continue
            compared += 1
            count += len(tokens)
            found = differences(exact, row, ours[at], tokens, log_probs)
            problems += [f"{path.stem}, {how}, {row}: {problem}" for problem in found]
    return compared, close, count, problems


def main():
    """Compares all models."""
    draw = random.Random(7)
    program, paths = sys.argv[1], [pathlib.Path(path) for path in sys.argv[2:]]
    results = [compare(program, path, draw) for path in paths]
    compared, close, count = (sum(result[i] for result in results) for i in range(3))
    problems = sum((result[3] for result in results), [])
    print("\n".join(problems))
    print(
        f"{DRAWS * len(paths)} draws: {compared} rows and {count} tokens compared, {close} rows too "
        f"close to call, {len(problems)} differences"
    )
    if problems or close * 10 > compared or count < 3 * compared:
        sys.exit(1)


if __name__ == "__main__":
    main()
