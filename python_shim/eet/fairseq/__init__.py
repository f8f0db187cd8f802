"""The Fairseq table of the original, and the encoder-decoder."""

from __future__ import annotations

from .transformer import (
    EETTransformerDecoder,
    EETTransformerModel,
)

__all__ = [
    "EETTransformerDecoder",
    "EETTransformerModel",
]
