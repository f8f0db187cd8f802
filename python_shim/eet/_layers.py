"""Parts of a loaded model, one at a time: what the original's layer classes are.

A part is a view on a model: its weights are those of the file, its arithmetic is that of `eet.ops`,
its numbers are those of the library's submodule. It computes where its input lies: arrays of NumPy's
or torch's on the CPU, or torch's on the model's device, with the weights that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _arrays, _device, ops
from ._errors import ArgumentError, UnsupportedError
from ._layer_cache import Cache
from ._padded import Frame, Packed, as_mask, as_table, pack

if TYPE_CHECKING:
    from ._pretrained import Pretrained
    from .model import Model

__all__ = [
    "Attention",
    "CrossAttention",
    "Embedding",
    "Feedforward",
    "Layer",
    "LayerNorm",
    "Stack",
]

class Part:
    """A view on some weights of a model.

    Parameters
    ----------
    model : Pretrained or eet.Model
    layer : int
        Which layer, where the part belongs to one.
    stack : str, optional
        "enc" or "dec"; default: the decoder where there is one.
    """

    def __init__(
        self, model: Union["Pretrained", "Model"], layer: int = 0, stack: Optional[str] = None
    ) -> None:
        self.model: "Model" = getattr(model, "model", model)  # type: ignore[arg-type]
        self.stack = stack or ("dec" if self.model.has_decoder else "enc")
        self.layer = layer
        layers = self._fact("layers")
        if not 0 <= layer < layers:
            raise ArgumentError(f"layer {layer}; there are {layers}")
        self.pre_norm = bool(self._fact("pre_norm"))

    def _fact(self, key: str, default: Any = ...) -> Any:
        return self.model.fact(f"{self.stack}.{key}", default)

    def _name(self, part: str) -> str:
        return f"{self.stack}.{self.layer:04d}.{part}"

    def _where(self, array: object) -> str:
        """Where to compute with an array: "cpu", or the model's device."""
        device, _ = _device.place_of(array)
        if device not in ("cpu", self.model.device):
            raise ArgumentError(f"the array lies on {device}, the model on {self.model.device}")
        return device

    def _weight(self, where: str, name: str, first: int = 0, count: int = -1) -> Any:
        """A tensor, or `count` of its rows; None where the model has none."""
        if name not in self.model.tensors:
            return None
        tensor = self.model.tensors[name] if where == "cpu" else self.model._there(name)
        if count < 0:
            return tensor
        if not isinstance(tensor, _arrays.Tensor):  # torch's, of a vector
            return tensor[first : first + count]
        seen = tensor._view
        row = tensor.strides[0]
        return _arrays.Tensor(
            _arrays.View(
                seen.pointer + first * row, (count, *seen.shape[1:]), seen.strides, seen.dtype,
                seen.device, True, tensor, seen.order,
            )  # fmt: skip
        )

    def _linear(self, where: str, part: str, first: int = 0, count: int = -1) -> ops.Linear:
        name = self._name(part)
        return ops.Linear(
            self._weight(where, name + ".w", first, count),
            self._weight(where, name + ".b", first, count),
        )

    def _norm(self, where: str, name: str) -> Optional[ops.Norm]:
        weight = self._weight(where, name + ".w")
        if weight is None:
            return None
        return ops.Norm(weight, self._weight(where, name + ".b"), self._fact("norm_eps"))


class LayerNorm(Part):
    """A norm of the model: of a layer, of the embedding, or the last one.

    Parameters
    ----------
    model : Pretrained or eet.Model
    name : str, optional
        The tensor's name without its ending, e.g. "dec.0000.attn.norm"; default: the last norm.
    """

    def __init__(
        self, model: Union["Pretrained", "Model"], name: str = "", stack: Optional[str] = None
    ) -> None:
        super().__init__(model, 0, stack)
        self.name = name or self.stack + ".norm"
        self.norm = self._norm("cpu", self.name)
        if self.norm is None:
            raise UnsupportedError(f"the model has no norm {self.name}")

    def __call__(self, hidden_states: Any) -> Any:
        """Normalises the last axis.

        Parameters
        ----------
        hidden_states : array
            (..., size).

        Returns
        -------
        array
        """
        norm = self._norm(self._where(hidden_states), self.name)
        assert norm is not None
        return ops.layernorm(hidden_states, norm.weight, norm.bias, eps=norm.eps)


class Embedding(Part):
    """Token, position and type rows added up, with their norm where the model has one."""

    def __call__(
        self, input_ids: Any, position_ids: Any = None, token_type_ids: Any = None, past: int = 0
    ) -> Any:
        """Embeds ids.

        Parameters
        ----------
        input_ids : array of int
            (batch, columns).
        position_ids, token_type_ids : array of int, optional
            (batch, columns), or one row for all.
        past : int
            Columns before these, where positions are counted.

        Returns
        -------
        array
            (batch, columns, size).
        """
        import numpy

        stack = self.stack
        where = self._where(input_ids)
        if self._weight("cpu", stack + ".emb.proj_in.w") is not None:
            raise UnsupportedError("an embedding with a projection is no single operator")
        ids = as_table(input_ids, "input_ids")
        packed = pack(ids, None, token_type_ids, position_ids)
        pad = int(self._fact("tok.pad", -1)) if self._fact("pos.skip_pad", False) else None
        default = int(self._fact("type_default", -1))
        types = packed.types
        if types is None and default >= 0:
            types = numpy.full(ids.size, default, numpy.int32)
        positions = packed.positions
        if positions is not None and pad is not None:
            positions = numpy.maximum(positions - (pad + 1), -1)
        table = self._weight(where, stack + ".emb.pos")
        frame = Frame(input_ids)
        made = frame.empty((ids.size, int(self._fact("hidden"))))
        ops.embedding(
            packed.tokens, self._weight(where, stack + ".emb.tok"), positions=positions,
            types=types, position=table,
            type=None if types is None else self._weight(where, stack + ".emb.type"),
            scale=float(self._fact("emb.scale", 1.0)), pad=pad, lengths=[past] * packed.rows,
            start=packed.start, norm=self._norm(where, stack + ".emb.norm"), out=made,
        )  # fmt: skip
        return packed.spread(frame, made)


class Feedforward(Part):
    """The two linear layers of a block."""

    def __call__(
        self, hidden_states: Any, pre_layernorm: Optional[bool] = None, add_residual: bool = True
    ) -> Any:
        """Computes fc2(act(fc1(x))).

        Parameters
        ----------
        hidden_states : array
            (..., size).
        pre_layernorm : bool, optional
            Normalise first; default: as the model does.
        add_residual : bool
            Add x; without `pre_layernorm` the sum is normalised.

        Returns
        -------
        array
        """
        where = self._where(hidden_states)
        return ops.ffn(
            hidden_states, self._linear(where, "ffn.fc1"), self._linear(where, "ffn.fc2"),
            activation=str(self._fact("act")), norm=self._norm(where, self._name("ffn.norm")),
            pre_norm=self.pre_norm if pre_layernorm is None else pre_layernorm,
            add_residual=add_residual,
        )  # fmt: skip


def _pack(hidden_states: Any, mask: object) -> tuple[Packed, Any, Frame]:
    """The kept tokens of (batch, columns, size), as (tokens, size)."""
    import numpy

    shape = tuple(getattr(hidden_states, "shape", ()))
    if len(shape) != 3:
        raise ArgumentError(f"hidden_states: shape {shape}; (batch, columns, size) is wanted")
    keep = None if mask is None else as_mask(mask, shape[0], (shape[1],))
    packed = Packed(numpy.zeros(shape[:2], numpy.int32), keep)
    frame = Frame(hidden_states)
    frame.dtype = _arrays.view(hidden_states).dtype.name
    flat = hidden_states.reshape((shape[0] * shape[1], shape[2]))
    return packed, flat if packed.at is None else flat[frame.index(packed.at)], frame


class Attention(Part):
    """The self attention of a block. A decoder's keeps keys and values between calls."""

    def __init__(
        self, model: Union["Pretrained", "Model"], layer: int = 0, stack: Optional[str] = None
    ) -> None:
        super().__init__(model, layer, stack)
        self.heads, self.size = int(self._fact("heads")), int(self._fact("head_dim"))
        scale = float(self._fact("attn_scale"))
        self.scale = scale / (layer + 1) if self._fact("inv_layer_scale", False) else scale
        self.cache = Cache()

    def _projections(self, where: str) -> dict[str, Any]:
        inner = self.heads * self.size
        names = ("query", "key", "value")
        parts = {n: self._linear(where, "attn.qkv", i * inner, inner) for i, n in enumerate(names)}
        return {**parts, "output": self._linear(where, "attn.out"), "heads": self.heads}

    def __call__(
        self,
        hidden_states: Any,
        attention_mask: Any = None,
        reorder_state: Any = None,
        pre_layernorm: Optional[bool] = None,
        add_residual: bool = True,
        first_pass: bool = True,
    ) -> Any:
        """Attends.

        Parameters
        ----------
        hidden_states : array
            (batch, columns, size).
        attention_mask : array, optional
            (batch, columns) of these columns: 1 keeps, 0 leaves out.
        reorder_state : array of int, optional
            Of a decoder, with first_pass=False: row b goes on from row reorder_state[b].
        pre_layernorm : bool, optional
            Normalise first; default: as the model does.
        add_residual : bool
            Add x; without `pre_layernorm` the sum is normalised.
        first_pass : bool
            Of a decoder: True forgets what was kept.

        Returns
        -------
        array
            (batch, columns, size), zeros where the mask is 0.
        """
        where = self._where(hidden_states)
        packed, x, frame = _pack(hidden_states, attention_mask)
        switch: dict[str, Any] = {
            **self._projections(where), "scale": self.scale, "head_dim": self.size,
            "norm": self._norm(where, self._name("attn.norm")),
            "pre_norm": self.pre_norm if pre_layernorm is None else pre_layernorm,
            "add_residual": add_residual, "start": packed.start,
        }  # fmt: skip
        if self.stack == "enc":
            found = ops.multi_head_attention(x, **switch)
            return packed.spread(frame, found)
        cache = self.cache
        if first_pass:
            cache.begin(hidden_states, packed.rows, packed.width, self.heads, self.size)
        elif reorder_state is not None:
            cache.gather(reorder_state)
        if len(cache.lengths) != packed.rows:
            raise ArgumentError(f"{packed.rows} rows after {len(cache.lengths)}")
        cache.reserve(packed.width)
        found = ops.masked_multi_head_attention(
            x, keys=cache.keys, values=cache.values, slots=packed.live,
            lengths=[cache.lengths[row] for row in packed.live], **switch,
        )  # fmt: skip
        ends = packed.start.tolist()
        for index, row in enumerate(packed.live):
            cache.lengths[row] += ends[index + 1] - ends[index]
        return packed.spread(frame, found)


class CrossAttention(Attention):
    """What a decoder's block looks at its source with."""

    def __call__(  # type: ignore[override]
        self,
        hidden_states: Any,
        encoder_out: Any = None,
        encoder_attention_mask: Any = None,
        reorder_state: Any = None,
        pre_layernorm: Optional[bool] = None,
        add_residual: bool = True,
    ) -> Any:
        """Attends to the source.

        Parameters
        ----------
        hidden_states : array
            (batch, columns, size).
        encoder_out : array, optional
            (batch, tokens, size), with the first pass; later it is known.
        encoder_attention_mask : array, optional
            (batch, tokens): 1 keeps, 0 leaves out.
        reorder_state, pre_layernorm, add_residual
            As of `Attention`.

        Returns
        -------
        array
            (batch, columns, size).
        """
        where = self._where(hidden_states)
        packed, x, frame = _pack(hidden_states, None)
        inner = self.heads * self.size
        cache, memory, starts = self.cache, None, None
        if encoder_out is not None:
            source, memory, _ = _pack(encoder_out, encoder_attention_mask)
            if len(source.live) != packed.rows:
                raise ArgumentError(f"encoder_out has {len(source.live)} rows, not {packed.rows}")
            starts = source.start
            cache.begin(hidden_states, packed.rows, source.width, self.heads, self.size)
            cache.lengths = [int(n) for n in starts[1:] - starts[:-1]]
        elif reorder_state is not None:
            cache.gather(reorder_state)
        if len(cache.lengths) != packed.rows:
            raise ArgumentError(f"{packed.rows} rows after {len(cache.lengths)}")
        found = ops.cross_multi_head_attention(
            x, self._linear(where, "cross.q"), self._linear(where, "cross.kv", 0, inner),
            self._linear(where, "cross.kv", inner, inner), self._linear(where, "cross.out"),
            self.heads,
            cache.keys, cache.values, memory=memory, memory_start=starts, lengths=cache.lengths,
            scale=self.scale, head_dim=self.size, norm=self._norm(where, self._name("cross.norm")),
            pre_norm=self.pre_norm if pre_layernorm is None else pre_layernorm,
            add_residual=add_residual, start=packed.start,
        )  # fmt: skip
        return packed.spread(frame, found)


class Layer(Part):
    """A block: self attention, attention to the source where the model has it, feed-forward."""

    def __init__(
        self, model: Union["Pretrained", "Model"], layer: int = 0, stack: Optional[str] = None
    ) -> None:
        super().__init__(model, layer, stack)
        self.attention = Attention(model, layer, self.stack)
        crosses = self.stack == "dec" and self.model.has_cross
        self.cross_attention = CrossAttention(model, layer, "dec") if crosses else None
        self.feedforward = Feedforward(model, layer, self.stack)

    def __call__(
        self,
        hidden_states: Any,
        attention_mask: Any = None,
        reorder_state: Any = None,
        encoder_out: Any = None,
        encoder_attention_mask: Any = None,
        first_pass: bool = True,
    ) -> Any:
        """Computes the block.

        Parameters
        ----------
        hidden_states, attention_mask, reorder_state, first_pass
            As of `Attention`.
        encoder_out, encoder_attention_mask
            As of `CrossAttention`, with the first pass.

        Returns
        -------
        array
            (batch, columns, size), zeros where the mask is 0.
        """
        x = self.attention(
            hidden_states, attention_mask, None if first_pass else reorder_state,
            first_pass=first_pass,
        )  # fmt: skip
        if self.cross_attention is not None and (encoder_out is not None or not first_pass):
            x = self.cross_attention(
                x, encoder_out if first_pass else None, encoder_attention_mask,
                None if first_pass else reorder_state,
            )  # fmt: skip
        x = self.feedforward(x)
        packed, kept, frame = _pack(x, attention_mask)
        return packed.spread(frame, kept)


class Stack(Part):
    """All blocks of a model, without embedding and last norm."""

    def __init__(
        self, model: Union["Pretrained", "Model"], stack: Optional[str] = None
    ) -> None:
        super().__init__(model, 0, stack)
        count = int(self._fact("layers"))
        self.layers: Sequence[Layer] = [Layer(model, i, self.stack) for i in range(count)]

    def __call__(self, hidden_states: Any, attention_mask: Any = None, **options: Any) -> Any:
        """Computes all blocks.

        Parameters
        ----------
        hidden_states, attention_mask
            As of `Attention`.
        **options
            As of `Layer`.

        Returns
        -------
        array
            (batch, columns, size).
        """
        x = hidden_states
        for layer in self.layers:
            x = layer(x, attention_mask, **options)
        return x


class Views:
    """Gives a model class its parts, made when they are first asked for."""

    model: "Model"
    _parts: dict[str, Any]

    def _part(self, name: str, make: Any) -> Any:
        if "_parts" not in self.__dict__:
            self._parts = {}
        if name not in self._parts:
            self._parts[name] = make(self)
        return self._parts[name]

    @property
    def embedding(self) -> Embedding:
        """The embedding."""
        found: Embedding = self._part("embedding", Embedding)
        return found

    @property
    def layer_norm(self) -> LayerNorm:
        """The last norm."""
        found: LayerNorm = self._part("layer_norm", LayerNorm)
        return found

    @property
    def layers(self) -> Sequence[Layer]:
        """The blocks."""
        found: Stack = self._part("stack", Stack)
        return found.layers
