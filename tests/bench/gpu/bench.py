"""The GPU against the strongest torch in one process: tokens or hidden states first compared, then both timed in
turns. A JSON object a line; everything that is compared ran in the same process on the same card.

  python3 bench.py --eet LIBEET.SO --convert EET-CONVERT [--only PREFIX ...] [--rounds N]
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time

import torch
import transformers

import peers
import stub

torch.set_grad_enabled(False)
GPT2 = {"gpt2": (12, 12, 768), "gpt2-medium": (24, 16, 1024), "gpt2-xl": (48, 25, 1600)}
BERT = {"bert-base": (12, 12, 768), "bert-large": (24, 16, 1024)}
DECODE = [("gpt2", 1), ("gpt2", 4), ("gpt2-medium", 1), ("gpt2-medium", 4), ("gpt2-medium", 16), ("gpt2-medium", 64),
          ("gpt2-xl", 1), ("gpt2-xl", 4)]
PREFILL = [(1, 1024), (4, 1024), (1, 16384)]
ENCODE = [(1, 128), (8, 128), (32, 128), (32, 384), (32, 512)]


def say(**fields):
    print(json.dumps(fields), flush=True)


def device_ms(function, times=20):
    for _ in range(3):
        function()
    torch.cuda.synchronize()
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


def limits():
    """The read rate in GB/s and the rate of products in TFLOP/s of this card, now."""
    block = torch.randn(1 << 29, dtype=torch.float16, device="cuda")
    read = block.numel() * 2 / device_ms(block.sum) / 1e6
    a, b = (torch.randn(8192, 8192, dtype=torch.float16, device="cuda") for _ in range(2))
    return read, 2 * 8192**3 / device_ms(lambda: a @ b) / 1e9


def in_turns(rounds, **functions):
    times = {name: [] for name in functions}
    for name, function in functions.items():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(wall_ms(function))
    return {name: statistics.median(t) for name, t in times.items()}


class Models:
    """Random checkpoints of transformers, and the same weights as an open .eet."""

    def __init__(self, library, convert):
        self.library, self.convert, self.folder = library, convert, tempfile.mkdtemp()
        self.name = self.torch = self.eet = None

    def get(self, name):
        if name != self.name:
            if self.eet:
                self.library.close(self.eet)
            self.torch = None
            torch.cuda.empty_cache()
            self.name, self.torch = name, self.make(name)
            path = os.path.join(self.folder, "model.eet")
            self.torch.save_pretrained(self.folder)
            subprocess.run([self.convert, self.folder, "-o", path, "--force"], check=True, stdout=subprocess.DEVNULL,
                           env={**os.environ, "LD_LIBRARY_PATH": os.path.dirname(self.convert)})
            begin = time.perf_counter()
            self.eet = self.library.open(path)
            say(what="load", model=name, gigabytes=os.path.getsize(path) / 1e9, seconds=time.perf_counter() - begin)
        return self.torch, self.eet

    @staticmethod
    def make(name):
        torch.manual_seed(7)
        if name in GPT2:
            layers, heads, hidden = GPT2[name]
            positions = 16384 if name == "gpt2-medium" else 1024
            config = transformers.GPT2Config(n_layer=layers, n_head=heads, n_embd=hidden, n_positions=positions)
            kind = transformers.GPT2LMHeadModel
        else:
            layers, heads, hidden = BERT[name]
            config = transformers.BertConfig(num_hidden_layers=layers, num_attention_heads=heads, hidden_size=hidden,
                                             intermediate_size=4 * hidden)
            kind = transformers.BertModel
        with torch.device("cuda"):
            return kind(config).half().eval()


def rows_of(lengths, vocab):
    rng = random.Random(11)
    return [[rng.randrange(vocab) for _ in range(n)] for n in lengths]


def decode(models, name, rows, rounds, read, prompt=512, total=1024):
    model, eet = models.get(name)
    layers, _, hidden = GPT2[name]
    texts, new = rows_of([prompt] * rows, 50257), total - prompt
    session = models.library.session(eet, max_sequences=rows, max_tokens=total, max_batch_tokens=max(512, min(rows * prompt, 8192)))
    batch, ids = session.batch(texts), torch.tensor(texts, device="cuda")
    ours = session.generate(batch, new)
    peer = peers.GPT2Decoder(model, rows, total)
    peer.capture(compiled=True)
    theirs = peer.generate(ids, new).tolist()
    same = sum(a == b for x, y in zip(ours, theirs) for a, b in zip(x[:32], y[:32])) / (rows * 32)

    first_ours = in_turns(rounds, ours=lambda: session.generate(batch, 1), torch=lambda: peer.generate(ids, 1))
    whole = in_turns(rounds, ours=lambda: session.generate(batch, new), torch=lambda: peer.generate(ids, new))
    token = {k: (whole[k] - first_ours[k]) / (new - 1) for k in whole}
    weights = sum(p.numel() for n, p in model.named_parameters() if "wpe" not in n) * 2
    cache = 2 * layers * hidden * 2 * rows * (prompt + total) / 2
    say(what="decode", model=name, rows=rows, same_first_32=same, ours_ms=token["ours"], torch_ms=token["torch"],
        ratio=token["ours"] / token["torch"], share=(weights + cache) / token["ours"] / 1e6 / read,
        total_ours_ms=whole["ours"], total_torch_ms=whole["torch"], total_ratio=whole["ours"] / whole["torch"],
        total_share=(weights + cache) * new / whole["ours"] / 1e6 / read, tokens_per_s=rows * new / whole["ours"] * 1e3)
    session.close()


def compare(a, b):
    return float((a.float() - b.float()).norm() / b.float().norm())


def our_states(models, eet, texts, hidden, **options):
    """A function that encodes, and where its result is."""
    total = sum(map(len, texts))
    session = models.library.session(eet, max_batch_tokens=total, max_sequences=1, cache_tokens=64, **options)
    out = torch.empty(total, hidden, dtype=torch.float16, device="cuda")
    batch = session.batch(texts)
    output = session.output(out.data_ptr(), out.numel(), dtype=stub.F16, memory=stub.CUDA)
    return session, out, lambda: session.encode(batch, output)


def whole_rows(models, what, name, rows, tokens, rounds, gemm):
    model, eet = models.get(name)
    layers, _, hidden = {**GPT2, **BERT}[name]
    texts = rows_of([tokens] * rows, 30522)
    ids = torch.tensor(texts, device="cuda")
    peer = peers.GPT2Prefill(model) if name in GPT2 else peers.BertEncoder(model)
    session, out, ours = our_states(models, eet, texts, hidden)
    candidates = {"eager": peer}
    if tokens <= 1024:
        torch._dynamo.reset()
        candidates["compiled"] = torch.compile(peer, fullgraph=True, dynamic=False)
    ours()
    off = compare(out.view(rows, tokens, hidden), peer(ids))
    graphs = {}
    for kind, function in candidates.items():
        graphs[kind] = captured = peers.captured(lambda function=function: function(ids))
        del captured
    times = in_turns(rounds, ours=ours, **{kind: graph.replay for kind, graph in graphs.items()})
    best = min(times[kind] for kind in graphs)
    factor = 2 if name in GPT2 else 4
    flops = layers * (24 * rows * tokens * hidden**2 + factor * rows * tokens**2 * hidden)
    say(what=what, model=name, rows=rows, tokens=tokens, relative=off, ours_ms=times["ours"], torch_ms=best,
        ratio=times["ours"] / best, share=flops / times["ours"] / 1e9 / gemm, all=times)
    session.close()


def ragged(models, name, rounds, gemm, rows=32, longest=512):
    model, eet = models.get(name)
    _, _, hidden = BERT[name]
    rng = random.Random(3)
    lengths = [rng.randint(longest // 10, longest) for _ in range(rows)]
    texts = rows_of(lengths, 30522)
    peer = peers.BertEncoder(model)
    session, out, ours = our_states(models, eet, texts, hidden)
    ids = torch.zeros(rows, longest, dtype=torch.long, device="cuda")
    mask = torch.zeros(rows, 1, 1, longest, dtype=torch.bool, device="cuda")
    for r, text in enumerate(texts):
        ids[r, :len(text)] = torch.tensor(text)
        mask[r, :, :, :len(text)] = True
    flat = torch.tensor([t for text in texts for t in text], device="cuda")
    places = torch.cat([torch.arange(n) for n in lengths]).cuda()
    start = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32, device="cuda")
    ours()
    torch._dynamo.reset()
    functions = {"padded": lambda: peer(ids, mask), "packed": lambda: peer.packed(flat, places, start, longest)}
    off = compare(out, functions["packed"]())
    compiled = torch.compile(peer.packed, dynamic=False)
    functions["packed compiled"] = lambda: compiled(flat, places, start, longest)
    padded = torch.compile(peer, fullgraph=True, dynamic=False)
    functions["padded compiled"] = lambda: padded(ids, mask)
    graphs = {kind: peers.captured(function) for kind, function in functions.items()}
    times = in_turns(rounds, ours=ours, **{kind: graph.replay for kind, graph in graphs.items()})
    say(what="ragged", model=name, rows=rows, relative=off, ours_ms=times["ours"],
        to_padded=times["ours"] / min(times["padded"], times["padded compiled"]),
        to_packed=times["ours"] / min(times["packed"], times["packed compiled"]), all=times)
    session.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--eet", required=True)
    parser.add_argument("--convert", required=True)
    parser.add_argument("--only", nargs="*", default=[""])
    parser.add_argument("--rounds", type=int, default=5)
    o = parser.parse_args()
    models = Models(stub.Library(os.path.abspath(o.eet)), os.path.abspath(o.convert))
    read, gemm = limits()
    say(what="limits", gpu=torch.cuda.get_device_name(), torch=torch.__version__, transformers=transformers.__version__,
        read_gb_s=read, gemm_tflop_s=gemm, date=time.strftime("%Y-%m-%d %H:%M"))
    work = [(f"decode {n} {b}", decode, (n, b, o.rounds, read)) for n, b in DECODE]
    work += [(f"prefill gpt2-medium {b} {t}", whole_rows, ("prefill", "gpt2-medium", b, t, o.rounds, gemm)) for b, t in PREFILL]
    for name in BERT:
        work += [(f"encode {name} {b} {t}", whole_rows, ("encode", name, b, t, o.rounds, gemm)) for b, t in ENCODE]
        work += [(f"ragged {name}", ragged, (name, o.rounds, gemm))]
    work.sort(key=lambda one: one[0].split()[1])
    for label, function, arguments in work:
        if any(label.startswith(prefix) for prefix in o.only):
            try:
                function(models, *arguments)
            except Exception as error:  # one cell must not take the others along
                say(what="failed", cell=label, error=str(error)[:300])


if __name__ == "__main__":
    main()
