"""What the classes of both tables share: a model, a session, and the outputs of a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Optional

from ._decoding import Rows
from ._errors import ArgumentError, LimitError, UnsupportedError
from ._frameworks import framework_of
from ._outputs import ModelOutput
from ._padded import Frame, Packed, as_table
from ._pool import Pool
from ._run import Wanted, make_session, run
from ._tables import Output, Task
from ._wanted import Output as Asked

if TYPE_CHECKING:
    from .model import Model
    from .session import Session

__all__ = ["Pretrained", "fact", "heads_wanted", "refuse_unknown"]

MOST_AT_ONCE = 2048  # tokens computed in one piece: the workspace grows with them
# Arguments of Transformers' models that change nothing when they are false or None.
IGNORED = frozenset(
    "return_dict use_cache output_attentions output_hidden_states labels head_mask inputs_embeds "
    "cache_position past_key_values encoder_hidden_states next_sentence_label start_positions "
    "end_positions mc_labels decoder_head_mask cross_attn_head_mask decoder_inputs_embeds".split()
)


def heads_wanted(task: Task) -> list[tuple[str, ...]]:
    """The heads without which a task cannot be.

    Parameters
    ----------
    task : Task

    Returns
    -------
    list of tuple of str
    """
    return [o.heads for o in task.outputs if not o.optional and "" not in o.heads]


def fact(model: "Model", key: str, default: Any = None) -> Any:
    """A fact of a model.

    Parameters
    ----------
    model : eet.Model
    key : str
        As in docs/format.md.
    default : object
        Where the model has no such fact.

    Returns
    -------
    object
    """
    return model.config.get(key, default)


def refuse_unknown(name: str, unknown: dict[str, Any]) -> None:
    """Raises for keyword arguments that mean something and that we do not do.

    Parameters
    ----------
    name : str
        Of the class, for the error.
    unknown : dict
    """
    for key, value in unknown.items():
        if key not in IGNORED:
            raise TypeError(f"{name} has no argument {key!r}")
        if key not in ("return_dict", "use_cache") and value is not None and value is not False:
            raise UnsupportedError(f"{name}: {key} is not computed here")


class Pretrained:
    """A model with the session and the outputs of one class.

    Attributes
    ----------
    model : eet.Model
    config : types.SimpleNamespace or mapping
        The checkpoint's config.json where there is one, else the model's facts.
    max_batch : int
    """

    task: Task = Task(())
    families: tuple[str, ...] = ()
    rows: Rows  # of a decoder

    def __init__(
        self,
        model: "Model",
        config: Optional[SimpleNamespace] = None,
        max_batch: int = 1,
        full_seq_len: Optional[int] = None,
        max_seq_len: Optional[int] = None,
        data_type: Optional[str] = None,
        threads: int = 0,
    ) -> None:
        if max_batch < 1:
            raise ArgumentError(f"max_batch is {max_batch}; 1 is the least")
        self.model = model
        self.config: Any = config if config is not None else model.config
        self.max_batch = int(max_batch)
        self.data_type = data_type or "f32"
        self.threads = threads
        self.stack = "dec" if model.has_decoder else "enc"
        rows = int(fact(model, self.stack + ".pos.rows", 0) or 0)
        self.positions = rows if fact(model, self.stack + ".pos.kind") == "table" else 0
        self.skips_pad = bool(fact(model, self.stack + ".pos.skip_pad", False))
        self.pad = int(fact(model, self.stack + ".tok.pad", -1))
        self.max_seq_len = self._length(full_seq_len, max_seq_len)
        self.session: "Session" = self._session(full_seq_len or self.max_seq_len)
        self.pool = Pool(self._make)
        self._heads = {head.name: index for index, head in enumerate(model.heads)}
        self._plainly: dict[str, Any] = {}

    def _length(self, full_seq_len: Optional[int], max_seq_len: Optional[int]) -> int:
        """Tokens that a row may have: all positions of the model, unless less is asked for."""
        bound = 0 if self.skips_pad and self.stack == "enc" else self.positions
        wanted = max_seq_len or max(full_seq_len or 0, bound) or 2048
        if wanted < 1 or (full_seq_len is not None and full_seq_len < 1):
            raise ArgumentError(f"full_seq_len is {full_seq_len}; 1 is the least")
        if bound and wanted > bound:
            raise LimitError(f"{wanted} tokens in a row; the model has {bound} positions")
        return int(wanted)

    def _session(self, prompt: int) -> "Session":
        at_once = min(max(512, self.max_batch * prompt), MOST_AT_ONCE)
        return make_session(
            self.model,
            max_sequences=self.max_batch if self.stack == "dec" else 1,
            max_tokens=self.max_seq_len if self.stack == "dec" else None,
            max_batch_tokens=at_once,
            threads=self.threads,
        )

    def _make(self, most: int) -> "Session":
        """A session of the pool."""
        return make_session(
            self.model, max_sequences=most, max_tokens=self.max_seq_len, threads=self.threads
        )

    @classmethod
    def _check_family(cls, model: "Model") -> None:
        if cls.families and model.family not in cls.families:
            raise UnsupportedError(
                f"{cls.__name__} is for {' or '.join(cls.families)}; this is a {model.family}"
            )

    # ---- outputs ----------------------------------------------------------------------------

    def _wanted(self, at: Any) -> list[tuple[Output, Optional[Wanted]]]:
        found: list[tuple[Output, Optional[Wanted]]] = []
        for output in self.task.outputs:
            if "" in output.heads:
                found.append((output, Wanted(-1)))
                continue
            index = next((self._heads[n] for n in output.heads if n in self._heads), None)
            if index is None:
                found.append((output, None))
                continue
            given = self.model.heads[index].take == "given"
            found.append((output, Wanted(index, at=at if given else None)))
        return found

    def _outputs(
        self,
        kind: str,
        packed: Packed,
        frame: Frame,
        sequence: Optional[Sequence[int]] = None,
        source: Optional[Sequence[int]] = None,
        at: Any = None,
        session: Optional["Session"] = None,
    ) -> dict[str, Any]:
        """Runs a call and gives its outputs in the padded shape, by name."""
        session = self.session if session is None else session
        pairs = self._wanted(at)
        arrays = iter(
            run(session, kind, packed, [w for _, w in pairs if w], frame, sequence, source)
        )
        found: dict[str, Any] = {}
        for output, wanted in pairs:
            if wanted is None:
                found[output.name] = None
            elif output.shape == "spans":
                spans = packed.spread(frame, next(arrays))
                found["start_logits"] = spans[..., 0]
                found["end_logits"] = spans[..., 1]
            elif output.shape == "tokens":
                found[output.name] = packed.spread(frame, next(arrays))
            else:
                found[output.name] = packed.spread_rows(frame, next(arrays))
        return found

    def _plain(self, ids: Any) -> bool:
        """Are these ids of numpy or torch, rows of one length, that a session reads as they lie? Then
        without a mask and positions of its own a call needs nothing of `_padded`: see `_whole`."""
        framework = framework_of(ids)
        if framework is None or framework.name == "eet" or self.task.choices:
            return False
        shape = ids.shape
        return len(shape) == 2 and min(shape) > 0 and (
            framework.see(ids, self.session._index) is not None)

    def _asked(self, dtype: str) -> tuple[list[Output], list[Asked]]:
        """The outputs that there are, and what a session is asked for."""
        found = self._plainly.get(dtype)
        if found is None:
            pairs = [(output, wanted.head) for output, wanted in self._wanted(None) if wanted]
            found = self._plainly[dtype] = (
                [output for output, _ in pairs],
                [Asked("hidden" if head < 0 else head, None, None, dtype) for _, head in pairs],
            )
        return found

    def _whole(self, kind: str, ids: Any, session: "Session") -> dict[str, Any]:
        """`_outputs` for ids that are `_plain`."""
        numpy = getattr(framework_of(ids), "name", "") == "numpy"  # which has no bf16
        outputs, asked = self._asked("f32" if numpy and self.data_type == "bf16" else self.data_type)
        arrays = (session.step if kind == "step" else session.encode)(ids, outputs=asked)
        found: dict[str, Any] = {output.name: None for output in self.task.outputs}
        for output, array in zip(outputs, arrays):
            if output.shape == "spans":
                found.update(start_logits=array[..., 0], end_logits=array[..., 1])
            else:
                found[output.name] = array
        return found

    def _choices(self, found: dict[str, Any], lead: Sequence[int], inner: int) -> ModelOutput:
        """Puts the choices' dimension back."""
        shaped: dict[str, Any] = {}
        for output in self.task.outputs:
            value = found.pop(output.name, None)
            if output.shape == "choices" and value is not None:
                value = value.reshape(tuple(lead))
            elif output.shape == "tokens" and value is not None:
                value = value.reshape((*lead, inner, value.shape[-1]))
            shaped[output.name] = value
        shaped.update(found)
        return ModelOutput(**shaped)

    def _lead(self, input_ids: object, name: str = "input_ids") -> tuple[Any, tuple[int, ...]]:
        """Token ids as rows, and the shape that the rows came in."""
        shape = tuple(getattr(input_ids, "shape", ())) or _list_shape(input_ids)
        if self.task.choices and len(shape) == 3:
            ids = as_table(input_ids, name, 3)
            return ids.reshape(-1, ids.shape[-1]), ids.shape[:2]
        ids = as_table(input_ids, name)
        return ids, ids.shape[:1]

    @staticmethod
    def _flat(value: Any, lead: Sequence[int]) -> Any:
        """An argument beside input_ids of three dimensions."""
        if value is None or len(lead) == 1:
            return value
        shape = tuple(getattr(value, "shape", ())) or _list_shape(value)
        if len(shape) != 3:
            return value
        if not hasattr(value, "reshape"):
            import numpy

            value = numpy.asarray(value)
        return value.reshape((math.prod(shape[:-1]), shape[-1]))

    def check_step(self, rows: Rows, ids: Any, count: int) -> None:
        """What a step would be refused for, before rows are moved for it.

        Parameters
        ----------
        rows : Rows
        ids : numpy.ndarray of int32
            (rows, columns).
        count : int
            Rows that there will be.

        Raises
        ------
        eet.ArgumentError, eet.LimitError
        """
        if ids.shape[0] != count:
            raise ArgumentError(f"{ids.shape[0]} rows of ids; reorder_state names {count}")
        if ids.min() < 0 or ids.max() >= int(fact(self.model, self.stack + ".vocab.size")):
            raise ArgumentError("a token id is outside the model's vocabulary")
        if rows.columns + ids.shape[1] > self.max_seq_len and rows.keep is None:
            raise LimitError(
                f"{rows.columns + ids.shape[1]} tokens in a row; max_seq_len is {self.max_seq_len}"
            )

    def _place(self, ids: Any, first_pass: bool, reorder_state: Any) -> None:
        """Makes room for new rows, or moves those that there are."""
        if first_pass:
            if reorder_state is not None:
                raise ArgumentError("reorder_state with first_pass=True: there is nothing to reorder")
            self.rows.begin(ids.shape[0])
        elif reorder_state is not None:
            parents = self.rows.check_parents(reorder_state)
            self.check_step(self.rows, ids, len(parents))
            self.rows.gather(parents)

    # ---- an end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Frees the sessions and the model."""
        self.pool.close()
        self.session.close()
        self.model.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def eval(self) -> Any:
        """Does nothing: there is no other mode.

        Returns
        -------
        Pretrained
            This object.
        """
        return self


def _list_shape(value: object) -> tuple[int, ...]:
    shape = []
    while isinstance(value, (list, tuple)) and value:
        shape.append(len(value))
        value = value[0]
    return tuple(shape)
