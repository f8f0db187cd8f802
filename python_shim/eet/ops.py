"""Single operators of a transformer on arrays of the caller's: attention, feed-forward, embedding,
layer norm. docs/ops.md has the formulas; `eet_ops.h` is the same in C.

Arrays are numpy's, torch's, CuPy's, or anything with DLPack or an array interface, of any strides,
in f32, f16 or bf16 each, all of a call in the CPU's memory or all on one device; nothing is copied
to reach them. Weights are (out, in), as torch's Linear has them. A row's result depends on that row
alone, to the last bit. On a device a call is in the order of the framework's current stream.
"""
from __future__ import annotations

import ctypes
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from . import _arrays, _structs
from . import _op_context as _c
from ._arrays import DType, View
from ._errors import ArgumentError
from ._op_context import Context, Kept, context_of

__all__ = ["ACTIVATIONS", "Context", "Linear", "Norm", "cross_multi_head_attention", "embedding",
           "ffn", "layernorm", "masked_multi_head_attention", "multi_head_attention"]

# By the names that checkpoints use: `gelu` is the exact one.
ACTIVATIONS: Dict[str, int] = {
    "linear": 0, "relu": 1, "gelu": 2, "gelu_erf": 2, "gelu_tanh": 3, "gelu_new": 3,
    "gelu_fast": 3, "gelu_pytorch_tanh": 3, "silu": 4, "swish": 4, "quick_gelu": 5, "tanh": 6,
    "relu2": 7,
}


class Linear(NamedTuple):
    """y = x weight^T + bias."""

    weight: Any  # (out, in)
    bias: Any = None  # (out)


class Norm(NamedTuple):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias."""

    weight: Any
    bias: Any = None
    eps: float = 1e-5


LinearLike = Union[Linear, Tuple[Any, ...], Any]
NormLike = Union[Norm, Tuple[Any, ...], None]


# ---- arrays

def _strides_of(what: View) -> Sequence[int]:
    if what.strides is not None:
        return what.strides
    strides: List[int] = []
    step = 1
    for length in reversed(what.shape):
        strides.append(step)
        step *= length
    return strides[::-1]


def _fill(to: Any, data: Any, name: str, keep: Kept, one_for_all: bool = False) -> View:
    """Describes an array in place. With `one_for_all` an axis of stride 0 is one of length 1."""
    what = _arrays.view(data, keep.stream)
    if what.device not in ("cpu", "cuda", keep.device):
        raise ArgumentError(f"{name} lies on {what.device}, the context is on {keep.device}")
    shape = list(what.shape)
    strides = list(_strides_of(what))
    if len(shape) > _structs.MAX_RANK:
        raise ArgumentError(f"{name} has {len(shape)} axes; at most {_structs.MAX_RANK} are taken")
    for i, length in enumerate(shape):
        if one_for_all and strides[i] == 0 and length > 0:
            shape[i] = 1
    if not any(strides) and any(length > 1 for length in shape):
        raise ArgumentError(f"{name} is one number seen many times; copy it")
    to.size = ctypes.sizeof(_structs.Array)
    to.dtype = 6 if what.dtype.name == "bool" else what.dtype.code
    to.memory = 0 if what.device == "cpu" else 1
    to.rank = len(shape)
    to.shape[:len(shape)] = shape
    to.stride[:len(shape)] = strides
    to.data = what.pointer or None
    keep.append(what)
    return what


def _fill_written(to: Any, data: Any, name: str, keep: Kept) -> View:
    what = _fill(to, data, name, keep)
    if what.readonly:
        raise ArgumentError(f"{name} is read-only")
    return what


def _linear(to: Any, layer: LinearLike, name: str, keep: Kept) -> View:
    if layer is None:
        raise ArgumentError(f"there is no {name}")
    weight, bias = layer if isinstance(layer, (tuple, list)) and len(layer) == 2 else (layer, None)
    if isinstance(weight, (tuple, list)):
        raise ArgumentError(f"{name} is a weight, or (weight, bias)")
    what = _fill(to.weight, weight, f"{name}.weight", keep)
    if bias is not None:
        _fill(to.bias, bias, f"{name}.bias", keep)
    return what


def _norm(to: Any, norm: NormLike, keep: Kept) -> None:
    if norm is None:
        return
    if not isinstance(norm, (tuple, list)) or not 1 <= len(norm) <= 3:
        raise ArgumentError("norm is (weight, bias, eps), of which the last two may be left out")
    weight, bias, eps = (tuple(norm) + (None, None))[:3] if len(norm) < 3 else norm
    _fill(to.weight, weight, "norm.weight", keep)
    if bias is not None:
        _fill(to.bias, bias, "norm.bias", keep)
    to.eps = 1e-5 if eps is None else eps


def _list(values: Any, count: int, name: str, keep: Kept) -> Optional[int]:
    """The address of `count` int32, or None."""
    if values is None:
        return None
    found = _arrays.ids(values, name)
    if found.count != count or len(found.shape) != 1:
        raise ArgumentError(f"{name} has {found.count} numbers; {count} are needed")
    keep.append(found)
    return found.pointer


def _rows(what: View, start: Any, name: str, keep: Kept) -> Tuple[int, Optional[int]]:
    """How many rows there are, and where `start` lies."""
    if start is None:
        return (what.shape[0] if what.shape else 0), None
    found = _arrays.ids(start, name)
    if len(found.shape) != 1 or found.count < 1:
        raise ArgumentError(f"{name} has to be a list of (rows + 1) numbers")
    keep.append(found)
    return found.count - 1, found.pointer


def _result(to: Any, out: Any, like: Any, shape: Tuple[int, ...], dtype: DType,
            keep: Kept) -> Any:
    """`out`, or a new array of `like`'s framework, where it lies."""
    if out is None:
        out, _ = _arrays.empty(_arrays.kind_of(like), shape, dtype, keep.device)
    _fill_written(to, out, "out", keep)
    return out


# ---- operators

def layernorm(x: Any, weight: Any, bias: Any = None, *, eps: float = 1e-5, out: Any = None,
              context: Optional[Context] = None) -> Any:
    """Layer normalisation over the last axis.

    Parameters
    ----------
    x : array (..., width)
    weight, bias : array (width)
        `bias` may be None.
    eps : float
    out : array or None
        Where the result goes, of x's shape and any float type; may be `x`.
    context : Context or None

    Returns
    -------
    array
        `out`, or an array of x's framework and data type.
    """
    run = context_of(context, x)
    args = _c.Layernorm(size=ctypes.sizeof(_c.Layernorm))
    keep = Kept(run)
    what = _fill(args.x, x, "x", keep)
    _norm(args.norm, (weight, bias, eps), keep)
    made = _result(args.y, out, x, what.shape, what.dtype, keep)
    run._run(_c.LAYERNORM, args, keep, x)
    return made


def ffn(x: Any, fc1: LinearLike, fc2: LinearLike, *, activation: str = "gelu",
        norm: NormLike = None, pre_norm: bool = False, add_residual: bool = False,
        out: Any = None, context: Optional[Context] = None) -> Any:
    """The feed-forward part of a block: ``fc2(activation(fc1(x)))``.

    Parameters
    ----------
    x : array (..., width)
    fc1, fc2 : Linear, (weight, bias) or weight
        Of any width in between.
    activation : str
        A name among `ACTIVATIONS`; ``"gelu"`` is the exact one.
    norm : Norm, (weight, bias, eps) or None
    pre_norm, add_residual : bool
        With both ``x + F(norm(x))``; residual alone: ``norm(x + F(x))`` (the sum where norm is
        None); pre_norm alone: ``F(norm(x))``; neither: ``F(x)``.
    out : array or None
    context : Context or None
    """
    run = context_of(context, x)
    args = _c.Ffn(size=ctypes.sizeof(_c.Ffn), pre_norm=int(pre_norm), add_residual=int(add_residual))
    if activation not in ACTIVATIONS:
        raise ArgumentError(f"there is no activation {activation!r}; there are "
                            f"{', '.join(ACTIVATIONS)}")
    args.act = ACTIVATIONS[activation]
    keep = Kept(run)
    what = _fill(args.x, x, "x", keep)
    _linear(args.fc1, fc1, "fc1", keep)
    last = _linear(args.fc2, fc2, "fc2", keep)
    _norm(args.norm, norm, keep)
    columns = last.shape[0] if last.shape else 0
    made = _result(args.y, out, x, what.shape[:-1] + (columns,), what.dtype, keep)
    run._run(_c.FFN, args, keep, x)
    return made


class _Call:
    """What the three attentions have in common."""

    def __init__(self, x: Any, layers: Sequence[LinearLike], heads: int, start: Any,
                 options: Dict[str, Any], context: Optional[Context]) -> None:
        self.context = run = context_of(context, x)
        self.args = _c.Attention(size=ctypes.sizeof(_c.Attention), heads=heads)
        self.keep = Kept(run)
        self.x = x
        args = self.args
        self.what = _fill(args.x, x, "x", self.keep)
        names = ("query", "key", "value", "output")
        fields = (args.query, args.key, args.value, args.out)
        views = [None if layer is None else _linear(field, layer, name, self.keep)
                 for field, layer, name in zip(fields, layers, names)]
        if views[0] is None or views[3] is None:
            raise ArgumentError("there is no query or no output")
        self.columns = views[3].shape[0] if views[3].shape else 0
        inner = views[0].shape[0] if views[0].shape else 0
        args.head_dim = options["head_dim"] or (inner // heads if heads > 0 else 0)
        args.pre_norm = int(options["pre_norm"])
        args.add_residual = int(options["add_residual"])
        args.scale = options["scale"] or 0.0
        _norm(args.norm, options["norm"], self.keep)
        self.rows, args.start = _rows(self.what, start, "start", self.keep)
        args.rows = self.rows
        for field, name in ((args.mask.allowed, "mask"), (args.mask.added, "bias")):
            if options[name] is not None:
                _fill(field, options[name], name, self.keep, one_for_all=True)

    def lists(self, lengths: Any, slots: Any) -> None:
        self.args.length = _list(lengths, self.rows, "lengths", self.keep)
        self.args.slot = _list(slots, self.rows, "slots", self.keep)

    def cache(self, keys: Any, values: Any) -> None:
        _fill_written(self.args.keys, keys, "keys", self.keep)
        _fill_written(self.args.values, values, "values", self.keep)

    def run(self, op: int, out: Any) -> Any:
        made = _result(self.args.y, out, self.x, self.what.shape[:-1] + (self.columns,),
                       self.what.dtype, self.keep)
        self.context._run(op, self.args, self.keep, self.x)
        return made


def multi_head_attention(
        x: Any, query: LinearLike, key: LinearLike, value: LinearLike, output: LinearLike,
        heads: int, *, head_dim: Optional[int] = None, scale: Optional[float] = None,
        norm: NormLike = None, pre_norm: bool = False, add_residual: bool = False,
        start: Any = None, lengths: Any = None, causal: bool = False, mask: Any = None,
        bias: Any = None, out: Any = None, context: Optional[Context] = None) -> Any:
    """An encoder's attention: a row's queries see its own keys.

    Parameters
    ----------
    x : array (rows, queries, width), or (tokens, width) with `start`
    query, key, value, output : Linear, (weight, bias) or weight
        The first three give heads * head_dim columns.
    heads, head_dim : int
        head_dim None: what the query's weight gives.
    scale : float or None
        Of the scores; None: 1 / sqrt(head_dim).
    norm, pre_norm, add_residual
        As in `ffn`.
    start : list of int or None
        (rows + 1): row r owns the tokens start[r] to start[r + 1].
    lengths : list of int or None
        How many of each row's keys count; None: all.
    causal : bool
        A query sees its own position and those before.
    mask : bool or uint8 array or None
        True where a query sees a key; axes (rows|1, heads|1, queries|1, keys|1), leading ones
        may be left out. All masks have to let it see the key; a query that sees none gives zeros.
    bias : float array or None
        The same axes; added to the scores, -inf: not seen.
    out : array or None
    context : Context or None
    """
    call = _Call(x, (query, key, value, output), heads, start, dict(
        head_dim=head_dim, scale=scale, norm=norm, pre_norm=pre_norm, add_residual=add_residual,
        mask=mask, bias=bias), context)
    call.lists(lengths, None)
    call.args.mask.causal = int(causal)
    return call.run(_c.PLAIN, out)


def masked_multi_head_attention(
        x: Any, query: LinearLike, key: LinearLike, value: LinearLike, output: LinearLike,
        heads: int, keys: Any, values: Any, *, lengths: Any = None, slots: Any = None,
        head_dim: Optional[int] = None, scale: Optional[float] = None, norm: NormLike = None,
        pre_norm: bool = False, add_residual: bool = False, start: Any = None, mask: Any = None,
        bias: Any = None, out: Any = None, context: Optional[Context] = None) -> Any:
    """A decoder's attention over a cache of the caller's, to which x's keys and values are added.

    Parameters
    ----------
    x : array (rows, queries, width), or (tokens, width) with `start`
    query, key, value, output, heads
        As in `multi_head_attention`.
    keys, values : array (slots, capacity, heads, head_dim)
        The cache: of one shape, data type and strides, the last axis contiguous; written to.
    lengths : list of int or None
        How many tokens each row's cache holds; None: none. The caller adds x's tokens to them.
    slots : list of int or None
        Which of the cache's rows is each row's, distinct; None: the row's number.
    head_dim, scale, norm, pre_norm, add_residual, start, mask, bias, out, context
        As in `multi_head_attention`; always causal.
    """
    call = _Call(x, (query, key, value, output), heads, start, dict(
        head_dim=head_dim, scale=scale, norm=norm, pre_norm=pre_norm, add_residual=add_residual,
        mask=mask, bias=bias), context)
    call.lists(lengths, slots)
    call.cache(keys, values)
    return call.run(_c.MASKED, out)


def cross_multi_head_attention(
        x: Any, query: LinearLike, key: Optional[LinearLike], value: Optional[LinearLike],
        output: LinearLike, heads: int, keys: Any, values: Any, *, memory: Any = None,
        memory_start: Any = None, lengths: Any = None, slots: Any = None,
        head_dim: Optional[int] = None, scale: Optional[float] = None, norm: NormLike = None,
        pre_norm: bool = False, add_residual: bool = False, start: Any = None, mask: Any = None,
        bias: Any = None, out: Any = None, context: Optional[Context] = None) -> Any:
    """A decoder's attention over its source.

    Parameters
    ----------
    x : array (rows, queries, width), or (tokens, width) with `start`
    query, key, value, output, heads
        As in `multi_head_attention`; without `memory`, key and value are not read.
    keys, values : array (slots, capacity, heads, head_dim)
        Filled from `memory`, or by an earlier call.
    memory : array (rows, tokens, memory width), or (tokens, memory width) with `memory_start`
        What is looked at; None: it is in keys and values already.
    lengths : list of int or None
        How many keys of each row count; None: its memory's, without memory the capacity.
    slots : list of int or None
        Which of the cache's rows is each row's: distinct with memory, else rows may share one.
    head_dim, scale, norm, pre_norm, add_residual, start, mask, bias, out, context
        As in `multi_head_attention`.
    """
    call = _Call(x, (query, key, value, output), heads, start, dict(
        head_dim=head_dim, scale=scale, norm=norm, pre_norm=pre_norm, add_residual=add_residual,
        mask=mask, bias=bias), context)
    call.lists(lengths, slots)
    call.cache(keys, values)
    if memory is not None:
        what = _fill(call.args.memory, memory, "memory", call.keep)
        rows, call.args.memory_start = _rows(what, memory_start, "memory_start", call.keep)
        if rows != call.rows:
            raise ArgumentError(f"memory has {rows} rows, x has {call.rows}")
    return call.run(_c.CROSS, out)


def embedding(ids: Any, token: Any, *, positions: Any = None, types: Any = None,
              position: Any = None, type: Any = None, scale: float = 1.0, offset: int = 0,
              pad: Optional[int] = None, lengths: Any = None, start: Any = None,
              norm: NormLike = None, out: Any = None, context: Optional[Context] = None) -> Any:
    """Rows of tables for ids, positions and types, added up: ``norm(token[id] * scale +
    position[p] + type[t])``.

    Parameters
    ----------
    ids : int32 or int64 array (rows, tokens), or (tokens) with `start`
    token, position, type : array (any, width)
        The tables, contiguous; the last two may be None.
    positions, types : int32 or int64 array or None
        Of ids' axes, or 1 in place of one. Without positions they are counted: lengths + offset,
        one more with each token. -1 adds nothing.
    scale : float
        Of the token's row.
    offset : int
        Of counted positions.
    pad : int or None
        An id that takes no position, and is given none.
    lengths : list of int or None
        Tokens that each row had before; None: none.
    norm : Norm, (weight, bias, eps) or None
    out, context
        As in `layernorm`; the result is of token's data type.
    """
    if scale == 0:
        raise ArgumentError("scale is 0")
    run = context_of(context, ids, out, token)
    args = _c.Embedding(size=ctypes.sizeof(_c.Embedding), scale=scale, position_offset=offset,
                        skip_pad=int(pad is not None), pad=pad or 0)
    keep = Kept(run)
    what = _fill(args.ids, ids, "ids", keep)
    table = _fill(args.token, token, "token", keep)
    for field, data, name in ((args.positions, positions, "positions"), (args.types, types,
                                                                         "types")):
        if data is not None:
            _fill(field, data, name, keep, one_for_all=True)
    for field, data, name in ((args.position, position, "position"), (args.type, type, "type")):
        if data is not None:
            _fill(field, data, name, keep)
    _norm(args.norm, norm, keep)
    rows, args.start = _rows(what, start, "start", keep)
    args.rows = rows
    args.length = _list(lengths, rows, "lengths", keep)
    columns = table.shape[1] if len(table.shape) == 2 else 0
    like = token if keep.stream is not None and what.device == "cpu" else ids
    made = _result(args.y, out, like, what.shape + (columns,), table.dtype, keep)
    run._run(_c.EMBEDDING, args, keep, token)
    return made
