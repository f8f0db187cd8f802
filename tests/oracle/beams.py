"""beams.py - eet-run's beam searches beside those of transformers' generate.

    build/oracle/bin/python tests/oracle/beams.py EET_RUN NAME.eet ...    (of the fixtures NAME)

Searches are drawn from a seed: beams, lengths, penalties, end tokens, rows of several lengths. Ids
must be the same and scores within 1e-4; a row is left out where transformers itself finds other
texts in float32 than in float64.
"""

import json
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "fixtures"))

from make_beams import SOURCES, Search, read_model, search_rows  # noqa: E402
from make_pairs import fill  # noqa: E402

import torch  # noqa: E402

SEARCHES = 8  # of each model
HOW = ["heuristic", "first", "never"]


def draw_search(draw):
    """Any search, without stop ids."""
    new = draw.randint(1, 16)
    return Search(
        beams=draw.randint(2, 8),
        new=new,
        early=draw.randint(0, 2),
        length_penalty=draw.choice([1.0, 1.0, 0.0, 0.6, 2.0, -1.0]),
        penalty=draw.choice([1.0, 1.0, 1.2, 0.9]),
        least=draw.choice([0, 0, draw.randint(0, new)]),
        ignore_eos=draw.random() < 0.2,
    )


def draw_stops(draw, model, row, search, source):
    """Ids that are likely to come."""
    found = {token for text in search_rows(model, [row], search, source)[0] for token in text[0]}
    return tuple(draw.sample(sorted(found), min(len(found), draw.choice([0, 1, 2, 4]))))


def draw_rows(draw, config, most):
    """Rows, and the source of each: None where the model has no encoder. A target begins with the
    token that starts it."""
    count, vocab = draw.randint(1, 3), config.vocab_size
    rows = [[draw.randrange(vocab) for _ in range(draw.randint(1, most))] for _ in range(count)]
    if not config.is_encoder_decoder:
        return rows, [None] * count
    rows = [[config.decoder_start_token_id, *row[1:6]] for row in rows]
    return rows, [[draw.randrange(4, vocab) for _ in range(draw.randint(1, 30))] for _ in rows]


def run_ours(program, model, rows, sources, search):
    """What eet-run prints: for each row its beams."""
    command = [program, str(model), "--json", "--batch", str(len(rows))]
    command += ["--num-beams", str(search.beams), "--num-return", str(search.beams)]
    command += ["--max-new-tokens", str(search.new), "--early-stopping", HOW[search.early]]
    command += ["--length-penalty", str(search.length_penalty)]
    command += ["--repetition-penalty", str(search.penalty), "--min-new-tokens", str(search.least)]
    if search.stops:
        command += ["--stop", ",".join(map(str, search.stops))]
    if search.ignore_eos:
        command += ["--ignore-eos"]
    records = [
        {"ids": row} | ({"source_ids": source} if source else {})
        for row, source in zip(rows, sources)
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.returncode}: {done.stderr}")
    return [json.loads(line)["beams"] for line in done.stdout.splitlines()]


def differences(ours, theirs):
    """What differs between the beams of a row; transformers' come without the end token."""
    problems = []
    if len(ours) != len(theirs):
        problems.append(f"{len(ours)} beams, not {len(theirs)}")
    for at, (beam, (tokens, ended, score)) in enumerate(zip(ours, theirs)):
        ids = beam["ids"][:-1] if beam["finish"] in ("eos", "stop") else beam["ids"]
        if ids != tokens or ended != (beam["finish"] != "length"):
            problems.append(f"beam {at}: {beam['ids']} ({beam['finish']}), not {tokens}, {ended}")
        elif abs(beam["score"] - score) > 1e-4 * max(1, abs(score)):
            problems.append(f"beam {at}: score {beam['score']}, not {score}")
    return problems


def compare(program, path, draw):
    """(rows compared, rows left out, texts ended by a token, problems) of one model."""
    exact, plain = (read_model(path.stem, dtype) for dtype in (torch.float64, torch.float32))
    config = exact.config
    compared, close, ended, problems = 0, 0, 0, []
    for _ in range(SEARCHES):
        search = draw_search(draw)
        most = min(config.max_position_embeddings - search.new, 70)
        rows, sources = draw_rows(draw, config, most)
        search.stops = draw_stops(draw, exact, rows[0], search, sources[0])
        # padding counts as text for transformers' repetition penalty: such rows go alone, as do
        # those that look at a source
        if search.penalty == 1.0 and path.stem not in SOURCES:
            groups = [(rows, None)]
        else:
            groups = [([row], source) for row, source in zip(rows, sources)]
        theirs = sum((search_rows(exact, group, search, source) for group, source in groups), [])
        again = sum((search_rows(plain, group, search, source) for group, source in groups), [])
        printed = run_ours(program, path, rows, sources, search)
        for row, ours, found, other in zip(rows, printed, theirs, again):
            if [text[:2] for text in found] != [text[:2] for text in other]:
                close += 1
                continue
            compared += 1
            ended += sum(text[1] for text in found)
            problems += [f"{path.stem}, {search}, {row}: {p}" for p in differences(ours, found)]
    return compared, close, ended, problems


def main():
    """Compares all models."""
    draw = random.Random(20)
    torch.full = fill
    program, paths = sys.argv[1], [pathlib.Path(path) for path in sys.argv[2:]]
    results = [compare(program, path, draw) for path in paths]
    compared, close, ended = (sum(result[i] for result in results) for i in range(3))
    problems = sum((result[3] for result in results), [])
    print("\n".join(problems))
    print(
        f"{SEARCHES * len(paths)} searches: {compared} rows compared, {ended} texts ended by a "
        f"token, {close} rows too close to call, {len(problems)} differences"
    )
    if problems or close * 10 > compared or 2 * ended < compared:
        sys.exit(1)


if __name__ == "__main__":
    main()
