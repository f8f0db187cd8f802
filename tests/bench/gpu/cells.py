"""What bench.py measures: each function is one cell, and gives the fields of its line. First both sides have to give
the same tokens or hidden states; then they are timed in turns, and medians count."""

import random
import statistics
import time

import torch
import transformers

import peers
import stub
from models import SHAPES, free_bytes, is_bert, rows_of, seconds_of, weights_of

CONTEXTS = [1, *range(64, 1024, 64)]


def device_ms(function, times=20):
    for _ in range(3):
        function()
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    for _ in range(times):
        function()
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after) / times


def wall_ms(function):
    torch.cuda.synchronize()
    begin = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return (time.perf_counter() - begin) * 1e3


def in_turns(rounds, functions):
    """Short ones run several times in a round."""
    times = {name: [] for name in functions}
    again = {name: max(1, min(20, int(10 / wall_ms(function)))) for name, function in functions.items()}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name] += [wall_ms(function) for _ in range(again[name])]
    return {name: statistics.median(t) for name, t in times.items()}


def limits():
    """The read rate in GB/s and the rate of products in TFLOP/s of this card, now."""
    block = torch.randn(1 << 29, dtype=torch.float16, device="cuda")
    read = block.numel() * 2 / device_ms(block.sum) / 1e6
    a, b = (torch.randn(8192, 8192, dtype=torch.float16, device="cuda") for _ in range(2))
    return read, 2 * 8192**3 / device_ms(lambda: a @ b) / 1e9


def best_of(times):
    name = min((n for n in times if n != "ours"), key=times.get)
    return {"ours_ms": times["ours"], "best": name, "best_ms": times[name], "ratio": times["ours"] / times[name], "all": times}


def relative(a, b):
    return float((a.float() - b.float()).norm() / b.float().norm())


# ---- decode


def hf_generate(model, ids, new, **options):
    return model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=new,
                          max_new_tokens=new, eos_token_id=None, pad_token_id=0, **options)


def same_share(ours, theirs, tokens):
    pairs = [(a, b) for x, y in zip(ours, theirs) for a, b in zip(x[:tokens], y[:tokens])]
    return sum(a == b for a, b in pairs) / len(pairs)


class Decoders:
    """Both sides of a generation, ready to run."""

    def __init__(self, bench, name, rows, total, longest_prompt):
        self.model, self.eet = bench.models.get(name)
        self.rows, self.vocab = rows, SHAPES[name][4]
        self.session = bench.models.library.session(self.eet, max_sequences=rows, max_tokens=total,
                                                    max_batch_tokens=max(512, min(rows * longest_prompt, 8192)))
        self.peer = peers.GPT2(self.model)
        self.peer.make_room(rows, total)
        self.peer.capture()

    def prompts(self, tokens):
        texts = rows_of([tokens] * self.rows, self.vocab)
        return self.session.batch(texts), torch.tensor(texts, device="cuda")

    def runs(self, batch, ids, new):
        return {"ours": lambda: self.session.generate(batch, new), "graph": lambda: self.peer.generate(ids, new)}


def decode(bench, name, rows, prompt=512, total=1024):
    layers, _, hidden = SHAPES[name][:3]
    both, new = Decoders(bench, name, rows, total, prompt), total - prompt
    batch, ids = both.prompts(prompt)
    same = same_share(both.session.generate(batch, 32), both.peer.generate(ids, 32).tolist(), 32)
    first = in_turns(bench.rounds, both.runs(batch, ids, 1))
    whole = in_turns(bench.rounds, both.runs(batch, ids, new))
    few = 16
    eager = in_turns(1, {n: lambda n=n: hf_generate(both.model, ids, n) for n in (1, 1 + few)})
    token = {k: (whole[k] - first[k]) / (new - 1) for k in whole} | {"transformers": (eager[1 + few] - eager[1]) / few}
    bytes_read = 2 * weights_of(name) + 2 * layers * hidden * 2 * rows * (prompt + total) / 2
    both.session.close()
    return {"model": name, "rows": rows, "same_first_32": same, **best_of(token),
            "share": bytes_read / token["ours"] / 1e6 / bench.read, "tokens_per_s": rows * 1e3 / token["ours"],
            "total_ours_ms": whole["ours"], "total_best_ms": whole["graph"],
            "total_ratio": whole["ours"] / whole["graph"],
            "total_share": bytes_read * new / whole["ours"] / 1e6 / bench.read}


def contexts(bench, name, rows=4, total=1024):
    """Every length of the prompt, the whole time up to `total` tokens."""
    both, points = Decoders(bench, name, rows, total, 960), []
    for context in CONTEXTS:
        batch, ids = both.prompts(context)
        if context == 512:
            same = same_share(both.session.generate(batch, 32), both.peer.generate(ids, 32).tolist(), 32)
        points.append({"context": context, **in_turns(max(1, bench.rounds - 2), both.runs(batch, ids, total - context))})
    both.session.close()
    return {"model": name, "rows": rows, "same_first_32": same, "points": points}


def stream(bench, name, rows, prompt=512, new=512):
    """Each token taken when it is there, beside all that there are."""
    _, eet = bench.models.get(name)
    session = bench.models.library.session(eet, max_sequences=rows, max_tokens=prompt + new)
    batch = session.batch(rows_of([prompt] * rows, SHAPES[name][4]))
    times = in_turns(bench.rounds + 2, {"at once": lambda: session.generate(batch, new),
                                        "one by one": lambda: session.generate(batch, new, room=1)})
    session.close()
    return {"model": name, "rows": rows, "overhead": times["one by one"] / times["at once"] - 1, "all": times}


def compiled_decode(bench, name, rows, prompt=512, total=1024):
    """Transformers' own compiled generation."""
    model, _ = bench.models.get(name)
    ids, new = torch.tensor(rows_of([prompt] * rows, SHAPES[name][4]), device="cuda"), total - prompt
    for _ in range(2):
        hf_generate(model, ids, new, cache_implementation="static")
    ms = in_turns(1, {n: lambda n=n: hf_generate(model, ids, n, cache_implementation="static") for n in (new,)})[new]
    return {"model": name, "rows": rows, "ms": ms / new}


# ---- whole texts


def our_states(bench, eet, texts, hidden):
    """A function that encodes, and where its result is."""
    total = sum(map(len, texts))
    session = bench.models.library.session(eet, max_batch_tokens=total, max_sequences=1, cache_tokens=64)
    out = torch.empty(total, hidden, dtype=torch.float16, device="cuda")
    batch = session.batch(texts)
    output = session.output(out.data_ptr(), out.numel(), dtype=stub.F16, memory=stub.CUDA)
    return session, out, lambda: session.encode(batch, output)


def timed_graphs(bench, ours, functions, others):
    torch._dynamo.reset()
    graphs = {kind: peers.captured(function) for kind, function in functions.items()}
    return in_turns(bench.rounds, {"ours": ours, **{kind: graph.replay for kind, graph in graphs.items()}, **others})


def texts_of(bench, name, rows, tokens):
    model, eet = bench.models.get(name)
    layers, _, hidden, _, vocab = SHAPES[name]
    texts = rows_of([tokens] * rows, vocab)
    ids = torch.tensor(texts, device="cuda")
    session, out, ours = our_states(bench, eet, texts, hidden)
    if is_bert(name):
        peer, factor = peers.Bert(model).encode, 4
        others = {"transformers": lambda: model(ids)}
    else:
        peer, factor = peers.GPT2(model).prefill, 2
        others = {"transformers": lambda: model.transformer(ids, use_cache=False)}
    ours()
    off = relative(out.view(rows, tokens, hidden), peer(ids))
    times = timed_graphs(bench, ours, {"graph": lambda: peer(ids), "compiled graph": lambda: peer(ids, compiled=True)}, others)
    flops = layers * (24 * rows * tokens * hidden**2 + factor * rows * tokens**2 * hidden)
    session.close()
    return {"model": name, "rows": rows, "tokens": tokens, "relative": off, **best_of(times),
            "share": flops / times["ours"] / 1e9 / bench.gemm, "tokens_per_s": rows * tokens * 1e3 / times["ours"]}


def ragged(bench, name, rows=32, longest=512):
    model, eet = bench.models.get(name)
    layers, _, hidden, _, vocab = SHAPES[name]
    rng = random.Random(3)
    lengths = [rng.randint(longest // 10, longest) for _ in range(rows)]
    texts = rows_of(lengths, vocab)
    session, out, ours = our_states(bench, eet, texts, hidden)
    ids = torch.zeros(rows, longest, dtype=torch.long, device="cuda")
    mask = torch.full((rows, 1, 1, longest), float("-inf"), dtype=torch.float16, device="cuda")
    for r, text in enumerate(texts):
        ids[r, :len(text)] = torch.tensor(text)
        mask[r, :, :, :len(text)] = 0
    flat = torch.tensor([t for text in texts for t in text], device="cuda")
    places = torch.cat([torch.arange(n) for n in lengths]).cuda()
    start = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32, device="cuda")
    peer, functions = peers.Bert(model), {}
    for kind, compiled in (("", False), (" compiled", True)):
        functions["padded" + kind] = lambda compiled=compiled: peer.encode(ids, mask, compiled=compiled)
        functions["packed" + kind] = lambda compiled=compiled: peer.encode_packed(flat, places, start, longest, compiled=compiled)
    ours()
    off = relative(out, functions["packed"]())
    attended = (mask == 0)[:, 0, 0].long()
    times = timed_graphs(bench, ours, functions, {"transformers": lambda: model(ids, attention_mask=attended)})
    padded, packed = (min(times[kind], times[kind + " compiled"]) for kind in ("padded", "packed"))
    flops = layers * sum(24 * n * hidden**2 + 4 * n * n * hidden for n in lengths)
    session.close()
    return {"model": name, "rows": rows, "relative": off, **best_of(times), "to_padded": times["ours"] / padded,
            "to_packed": times["ours"] / packed, "share": flops / times["ours"] / 1e9 / bench.gemm,
            "tokens_per_s": sum(lengths) * 1e3 / times["ours"]}


def compiled_encode(bench, name, rows, tokens):
    """Transformers' own model, compiled."""
    model, _ = bench.models.get(name)
    ids = torch.tensor(rows_of([tokens] * rows, SHAPES[name][4]), device="cuda")
    torch._dynamo.reset()
    function = torch.compile(model, mode="reduce-overhead")
    for _ in range(3):
        function(ids)
    return {"model": name, "rows": rows, "tokens": tokens, "ms": in_turns(bench.rounds, {"ms": lambda: function(ids)})["ms"]}


# ---- loading


def open_transformers(folder):
    return transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float16, device_map="cuda")


def load(bench, name):
    """From a file that is in the page cache to a model on the device; and the memory that it takes when it has
    generated, ours with a session of 1,024 tokens."""
    bench.models.get(name)
    folder, library = bench.models.path(name), bench.models.library
    seconds, memory = {"ours": [], "transformers": []}, {}
    ids = torch.tensor([[1, 2, 3]], device="cuda")
    for _ in range(bench.rounds):
        before = free_bytes()
        took, model = seconds_of(lambda: library.open(folder + "/model.eet"))
        seconds["ours"].append(took)
        session = library.session(model, max_sequences=1, max_tokens=1024)
        session.generate(session.batch([[1, 2, 3]]), 8)
        memory["ours"] = before - free_bytes()
        session.close()
        library.close(model)
        before = free_bytes()
        took, model = seconds_of(lambda: open_transformers(folder))
        seconds["transformers"].append(took)
        hf_generate(model, ids, 8)
        memory["transformers"] = before - free_bytes()
        del model
    size = 2 * weights_of(name)
    middle = {side: statistics.median(times) for side, times in seconds.items()}
    return {"model": name, "bytes": size, "took": middle, "gb_per_s": size / middle["ours"] / 1e9,
            "ratio": middle["ours"] / middle["transformers"], "memory": memory}
