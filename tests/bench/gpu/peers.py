"""What a user would pick instead, at its best: plain torch code on a checkpoint's weights, compiled and captured in
one CUDA graph by hand (the strongest of shared/reference/torch_peers.py on these cards), packed encoders by varlen_attn.

A stack is made of regions, each from one attention to the next: what follows the attention, the next layer's norm
and its q, k, v. So Inductor fuses all that it fuses in a whole model, and compiles one layer instead of all of them."""

import torch
import torch.nn.functional as F

DEVICE, DTYPE = "cuda", torch.float16


def transposed(conv):
    """Weight and bias of a Conv1D as linear takes them."""
    return conv.weight.t().contiguous(), conv.bias


def plain(layer):
    return layer.weight, layer.bias


def normed(x, norm, eps):
    return F.layer_norm(x, (x.shape[-1],), *norm, eps)


def split_heads(qkv, heads):
    rows, tokens, _ = qkv.shape
    return (t.view(rows, tokens, heads, -1).transpose(1, 2) for t in qkv.chunk(3, -1))


def joined(y):
    rows, _, tokens, _ = y.shape
    return y.transpose(1, 2).reshape(rows, tokens, -1)


def captured(function):
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            function()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph


class Stack:
    """Regions that are run as they are, or compiled."""

    def __init__(self, model, heads, eps):
        self.model, self.heads, self.eps, self.made = model, heads, eps, {}

    def region(self, name, compiled):
        function = getattr(self, name)
        if not compiled:
            return function
        if name not in self.made:
            self.made[name] = torch.compile(function, fullgraph=True, dynamic=False)
        return self.made[name]


class GPT2(Stack):
    """Hidden states of prompts, and greedy tokens with a cache of fixed size that is written in place."""

    def __init__(self, model):
        t = model.transformer
        super().__init__(model, model.config.n_head, model.config.layer_norm_epsilon)
        self.token, self.place, self.last = t.wte.weight, t.wpe.weight, plain(t.ln_f)
        self.layers = [(plain(b.ln_1), transposed(b.attn.c_attn), transposed(b.attn.c_proj), plain(b.ln_2),
                        transposed(b.mlp.c_fc), transposed(b.mlp.c_proj)) for b in t.h]
        self.graph = None

    # ---- regions

    def first(self, ids, token, place, norm, qkv):
        x = F.embedding(ids, token) + place
        return x, F.linear(normed(x, norm, self.eps), *qkv)

    def rest(self, x, y, out, norm, fc, proj):
        x = x + F.linear(joined(y), *out)
        return x + F.linear(F.gelu(F.linear(normed(x, norm, self.eps), *fc), approximate="tanh"), *proj)

    def prompt(self, x, qkv, mine, norm, after):
        x = self.rest(x, F.scaled_dot_product_attention(*split_heads(qkv, self.heads), is_causal=True), *mine)
        return x, F.linear(normed(x, norm, self.eps), *after)

    def prompt_end(self, x, qkv, mine, norm):
        x = self.rest(x, F.scaled_dot_product_attention(*split_heads(qkv, self.heads), is_causal=True), *mine)
        return normed(x, norm, self.eps)

    def attend_step(self, qkv, k, v, position, mask):
        q, new_k, new_v = split_heads(qkv, self.heads)
        k[:, :, position] = new_k
        v[:, :, position] = new_v
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def step(self, x, qkv, k, v, position, mask, mine, norm, after):
        x = self.rest(x, self.attend_step(qkv, k, v, position, mask), *mine)
        return x, F.linear(normed(x, norm, self.eps), *after)

    def step_end(self, x, qkv, k, v, position, mask, mine, norm, token):
        x = self.rest(x, self.attend_step(qkv, k, v, position, mask), *mine)
        return (normed(x[:, -1:], norm, self.eps) @ token.t()).argmax(-1)

    def step_begin(self, ids, position, token, place, norm, qkv, causal):
        mask = torch.where(causal[position], 0.0, float("-inf")).to(DTYPE)[None, None]
        return *self.first(ids, token, place[position], norm, qkv), mask

    # ---- whole runs

    def prefill(self, ids, compiled=False):
        norm, qkv = self.layers[0][:2]
        x, qkv = self.region("first", compiled)(ids, self.token, self.place[:ids.shape[1]], norm, qkv)
        for layer, after in zip(self.layers, self.layers[1:]):
            x, qkv = self.region("prompt", compiled)(x, qkv, layer[2:], *after[:2])
        return self.region("prompt_end", compiled)(x, qkv, self.layers[-1][2:], self.last)

    def make_room(self, rows, tokens):
        width = self.token.shape[1] // self.heads
        self.cache = [[torch.zeros(rows, self.heads, tokens, width, device=DEVICE, dtype=DTYPE) for _ in range(2)]
                      for _ in self.layers]
        self.causal = torch.tril(torch.ones(tokens, tokens, dtype=torch.bool, device=DEVICE))
        self.ids = torch.zeros(rows, 1, dtype=torch.long, device=DEVICE)
        self.position = torch.zeros(1, dtype=torch.long, device=DEVICE)

    def next_ids(self, ids, position, compiled=False):
        norm, qkv = self.layers[0][:2]
        x, qkv, mask = self.region("step_begin", compiled)(ids, position, self.token, self.place, norm, qkv, self.causal)
        for (k, v), layer, after in zip(self.cache, self.layers, self.layers[1:]):
            x, qkv = self.region("step", compiled)(x, qkv, k, v, position, mask, layer[2:], *after[:2])
        k, v = self.cache[-1]
        return self.region("step_end", compiled)(x, qkv, k, v, position, mask, self.layers[-1][2:], self.last, self.token)

    def capture(self, compiled=True):
        def once():
            self.ids.copy_(self.next_ids(self.ids, self.position, compiled))
            self.position.add_(1)

        self.graph = captured(once)

    def generate(self, prompt, new_tokens):
        tokens = prompt.shape[1]
        self.ids.copy_(self.next_ids(prompt, torch.arange(tokens, device=DEVICE)))
        self.position.fill_(tokens)
        out = [self.ids.clone()]
        for _ in range(new_tokens - 1):
            self.graph.replay()
            out.append(self.ids.clone())
        return torch.cat(out, 1)


class Bert(Stack):
    """Hidden states of padded rows (with a mask or none) or of a ragged batch."""

    def __init__(self, model):
        e = model.embeddings
        super().__init__(model, model.config.num_attention_heads, model.config.layer_norm_eps)
        self.token, self.place = e.word_embeddings.weight, e.position_embeddings.weight
        self.kind, self.norm = e.token_type_embeddings.weight[0], plain(e.LayerNorm)
        self.layers = [self.weights_of(one) for one in model.encoder.layer]

    @staticmethod
    def weights_of(one):
        a = one.attention
        parts = (a.self.query, a.self.key, a.self.value)
        qkv = torch.cat([p.weight for p in parts]), torch.cat([p.bias for p in parts])
        return (qkv, plain(a.output.dense), plain(a.output.LayerNorm), plain(one.intermediate.dense),
                plain(one.output.dense), plain(one.output.LayerNorm))

    def first(self, ids, place, norm, qkv):
        x = normed(F.embedding(ids, self.token) + place + self.kind, norm, self.eps)
        return x, F.linear(x, *qkv)

    def rest(self, x, y, out, n1, fc, proj, n2):
        x = normed(x + F.linear(y, *out), n1, self.eps)
        return normed(x + F.linear(F.gelu(F.linear(x, *fc)), *proj), n2, self.eps)

    def attend(self, qkv, mask):
        return joined(F.scaled_dot_product_attention(*split_heads(qkv, self.heads), attn_mask=mask))

    def middle(self, x, qkv, mask, mine, after):
        x = self.rest(x, self.attend(qkv, mask), *mine)
        return x, F.linear(x, *after)

    def end(self, x, qkv, mask, mine):
        return self.rest(x, self.attend(qkv, mask), *mine)

    def attend_packed(self, qkv, start, longest):
        from torch.nn.attention.varlen import varlen_attn
        q, k, v = (t.reshape(len(qkv), self.heads, -1) for t in qkv.chunk(3, -1))
        return varlen_attn(q, k, v, start, start, longest, longest).reshape(len(qkv), -1)

    def middle_packed(self, x, qkv, start, longest, mine, after):
        x = self.rest(x, self.attend_packed(qkv, start, longest), *mine)
        return x, F.linear(x, *after)

    def end_packed(self, x, qkv, start, longest, mine):
        return self.rest(x, self.attend_packed(qkv, start, longest), *mine)

    def run(self, kind, ids, place, about, compiled):
        x, qkv = self.region("first", compiled)(ids, place, self.norm, self.layers[0][0])
        for layer, after in zip(self.layers, self.layers[1:]):
            x, qkv = self.region("middle" + kind, compiled)(x, qkv, *about, layer[1:], after[0])
        return self.region("end" + kind, compiled)(x, qkv, *about, self.layers[-1][1:])

    def encode(self, ids, mask=None, compiled=False):
        """mask: what is added to scores, (rows, 1, 1, tokens)."""
        return self.run("", ids, self.place[:ids.shape[1]], (mask,), compiled)

    def encode_packed(self, ids, places, start, longest, compiled=False):
        """A ragged batch: ids and places of all tokens, rows from start[r] to start[r + 1]."""
        return self.run("_packed", ids, self.place[places], (start, longest), compiled)
