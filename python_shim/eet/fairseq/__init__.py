"""The Fairseq table of the original, and the encoder-decoder."""

from __future__ import annotations

from .transformer import (
    EETTransformerAttention,
    EETTransformerDecoder,
    EETTransformerDecoderLayer,
    EETTransformerEmbedding,
    EETTransformerFeedforward,
    EETTransformerLayerNorm,
    EETTransformerModel,
)

__all__ = [
    "EETTransformerAttention",
    "EETTransformerDecoder",
    "EETTransformerDecoderLayer",
    "EETTransformerEmbedding",
    "EETTransformerFeedforward",
    "EETTransformerLayerNorm",
    "EETTransformerModel",
]
