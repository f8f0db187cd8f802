"""The keys of a model's facts (docs/format.md)."""
from __future__ import annotations

from typing import List

_STACK = ("layers", "heads", "head_dim", "hidden", "ffn", "act", "pre_norm", "final_norm",
          "emb_norm", "norm_eps", "attn_scale", "inv_layer_scale", "pos.kind", "pos.rows",
          "pos.skip_pad", "emb.dim", "emb.scale", "types", "type_default", "vocab.size",
          "vocab.rows", "tok.pad", "tok.bos", "tok.eos", "tok.unk", "tok.cls", "tok.sep",
          "tok.mask")
_HEAD = ("name", "stack", "take", "skip_pad", "act", "normalize")


def keys(heads: int) -> List[str]:
    """Every key that a model with so many heads may have, in the order of the page."""
    found = ["arch.family"]
    for stack in ("enc", "dec"):
        found.extend(f"{stack}.{key}" for key in _STACK)
    found.extend(("dec.start", "dec.cross", "dec.cross_dim"))
    for number in range(heads):
        found.extend(f"head.{number}.{key}" for key in _HEAD)
    return found
