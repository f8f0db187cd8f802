"""What a user would pick instead, at its best: plain torch modules on a checkpoint's weights, compiled and
captured in one CUDA graph by hand (the strongest of shared/reference/torch_peers.py on these cards), packed
encoders through nested tensors, and transformers itself."""

import torch
import torch.nn.functional as F
from torch import nn

DEVICE, DTYPE = "cuda", torch.float16


def linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.contiguous(), False), nn.Parameter(bias, False)
    return layer


def norm(module):
    layer = nn.LayerNorm(module.weight.numel(), module.eps, device="meta")
    layer.weight, layer.bias = module.weight, module.bias
    return layer


class GPT2Block(nn.Module):
    """One block with a cache of fixed size that is written in place."""

    def __init__(self, block, heads, rows, tokens):
        super().__init__()
        a, m = block.attn, block.mlp
        self.heads, self.n1, self.n2 = heads, norm(block.ln_1), norm(block.ln_2)
        self.qkv, self.out = linear(a.c_attn.weight.t(), a.c_attn.bias), linear(a.c_proj.weight.t(), a.c_proj.bias)
        self.fc, self.proj = linear(m.c_fc.weight.t(), m.c_fc.bias), linear(m.c_proj.weight.t(), m.c_proj.bias)
        width = self.qkv.weight.shape[1]
        cache = torch.zeros(rows, heads, tokens, width // heads, device=DEVICE, dtype=DTYPE)
        self.register_buffer("k", cache)
        self.register_buffer("v", cache.clone())

    def forward(self, x, position, mask):
        rows, tokens, width = x.shape
        q, k, v = (t.view(rows, tokens, self.heads, -1).transpose(1, 2) for t in self.qkv(self.n1(x)).split(width, -1))
        self.k[:, :, position] = k
        self.v[:, :, position] = v
        y = F.scaled_dot_product_attention(q, self.k, self.v, attn_mask=mask)
        x = x + self.out(y.transpose(1, 2).reshape(rows, tokens, width))
        return x + self.proj(F.gelu(self.fc(self.n2(x)), approximate="tanh"))


class GPT2Decoder(nn.Module):
    """Greedy tokens of GPT-2, a step captured in one CUDA graph."""

    def __init__(self, model, rows, tokens):
        super().__init__()
        t, heads = model.transformer, model.config.n_head
        self.token, self.place, self.last = t.wte.weight, t.wpe.weight, norm(t.ln_f)
        self.blocks = nn.ModuleList(GPT2Block(b, heads, rows, tokens) for b in t.h)
        self.register_buffer("causal", torch.tril(torch.ones(tokens, tokens, dtype=torch.bool, device=DEVICE)))
        self.ids = torch.zeros(rows, 1, dtype=torch.long, device=DEVICE)
        self.position = torch.zeros(1, dtype=torch.long, device=DEVICE)
        self.graph = None

    def forward(self, ids, position):
        x, mask = F.embedding(ids, self.token) + self.place[position], self.causal[position][None, None]
        for block in self.blocks:
            x = block(x, position, mask)
        return (self.last(x[:, -1:]) @ self.token.t()).argmax(-1)

    def capture(self, compiled):
        step = torch.compile(self, fullgraph=True, dynamic=False) if compiled else self

        def once():
            self.ids.copy_(step(self.ids, self.position))
            self.position.add_(1)

        self.graph = captured(once)

    def generate(self, prompt, new_tokens):
        tokens = prompt.shape[1]
        self.ids.copy_(self(prompt, torch.arange(tokens, device=DEVICE)))
        self.position.fill_(tokens)
        out = [self.ids.clone()]
        for _ in range(new_tokens - 1):
            self.graph.replay()
            out.append(self.ids.clone())
        return torch.cat(out, 1)


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


class GPT2Prefill(nn.Module):
    """Hidden states of whole prompts."""

    def __init__(self, model):
        super().__init__()
        t, self.heads = model.transformer, model.config.n_head
        self.token, self.place, self.last = t.wte.weight, t.wpe.weight, norm(t.ln_f)
        self.blocks = nn.ModuleList(nn.ModuleDict(dict(
            n1=norm(b.ln_1), n2=norm(b.ln_2), qkv=linear(b.attn.c_attn.weight.t(), b.attn.c_attn.bias),
            out=linear(b.attn.c_proj.weight.t(), b.attn.c_proj.bias), fc=linear(b.mlp.c_fc.weight.t(), b.mlp.c_fc.bias),
            proj=linear(b.mlp.c_proj.weight.t(), b.mlp.c_proj.bias))) for b in t.h)

    def forward(self, ids):
        rows, tokens = ids.shape
        x = F.embedding(ids, self.token) + self.place[:tokens]
        for b in self.blocks:
            q, k, v = (t.view(rows, tokens, self.heads, -1).transpose(1, 2)
                       for t in b["qkv"](b["n1"](x)).split(x.shape[-1], -1))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + b["out"](y.transpose(1, 2).reshape(rows, tokens, -1))
            x = x + b["proj"](F.gelu(b["fc"](b["n2"](x)), approximate="tanh"))
        return self.last(x)


class BertEncoder(nn.Module):
    """Hidden states of padded rows (none is masked) or of a ragged batch."""

    def __init__(self, model):
        super().__init__()
        e, self.heads = model.embeddings, model.config.num_attention_heads
        self.token, self.place = e.word_embeddings.weight, e.position_embeddings.weight
        self.kind = e.token_type_embeddings.weight
        self.first = norm(e.LayerNorm)
        self.layers = nn.ModuleList(self.layer(one) for one in model.encoder.layer)

    @staticmethod
    def layer(one):
        a = one.attention
        parts = (a.self.query, a.self.key, a.self.value)
        return nn.ModuleDict(dict(
            qkv=linear(torch.cat([p.weight for p in parts]), torch.cat([p.bias for p in parts])),
            out=linear(a.output.dense.weight, a.output.dense.bias), n1=norm(a.output.LayerNorm),
            fc=linear(one.intermediate.dense.weight, one.intermediate.dense.bias),
            proj=linear(one.output.dense.weight, one.output.dense.bias), n2=norm(one.output.LayerNorm)))

    def rest(self, x, attend):
        for layer in self.layers:
            x = layer["n1"](x + layer["out"](attend(layer["qkv"](x))))
            x = layer["n2"](x + layer["proj"](F.gelu(layer["fc"](x))))
        return x

    def forward(self, ids, mask=None):
        rows, tokens = ids.shape

        def attend(qkv):
            q, k, v = (t.view(rows, tokens, self.heads, -1).transpose(1, 2) for t in qkv.chunk(3, -1))
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(rows, tokens, -1)

        return self.rest(self.first(F.embedding(ids, self.token) + self.place[:tokens] + self.kind[0]), attend)

    def packed(self, ids, places, start, longest):
        """A ragged batch: ids and places of all tokens, rows from start[r] to start[r + 1]."""
        from torch.nn.attention.varlen import varlen_attn

        def attend(qkv):
            q, k, v = (t.reshape(len(ids), self.heads, -1) for t in qkv.chunk(3, -1))
            return varlen_attn(q, k, v, start, start, longest, longest).reshape(len(ids), -1)

        return self.rest(self.first(F.embedding(ids, self.token) + self.place[places] + self.kind[0]), attend)
