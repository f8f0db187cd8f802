"""How the classes of the Transformers table are called: those of decoders and of encoders."""

from __future__ import annotations

import os
from typing import Any, Optional, Union

from .._decoding import Rows
from .._errors import ArgumentError
from .._layers import Stack, Views
from .._outputs import ModelOutput
from .._padded import Frame, Packed, as_mask, as_table, pack
from .._pretrained import Pretrained, heads_wanted, refuse_unknown
from .._run import fill_sources
from .._sources import dtype_name, open_pretrained, open_state
from .._generates import Generates

__all__ = ["Decoder", "Encoder", "encoder_rows", "pick_device"]

_Path = Union[str, "os.PathLike[str]"]


def pick_device(device: str, device_id: Optional[int]) -> str:
    """Reads the original's device_id.

    Parameters
    ----------
    device : str
        What holds without one.
    device_id : int, optional
        -1 is the CPU.

    Returns
    -------
    str
    """
    if device_id is None:
        return device
    return "cpu" if device_id < 0 else f"cuda:{device_id}"


def encoder_rows(
    self: Pretrained, ids: Any, mask: object, types: object, positions: object
) -> Packed:
    """Packs whole rows with the positions that the library's model would give their tokens.

    Parameters
    ----------
    self : Pretrained
    ids : numpy.ndarray of int32
        (rows, columns).
    mask, types, positions : array, optional
        The arguments of the call.

    Returns
    -------
    Packed
    """
    import numpy

    keep = None if mask is None else as_mask(mask, ids.shape[0], (ids.shape[1],))
    if keep is not None and keep.all():
        keep = None
    if positions is not None:
        packed = pack(ids, keep, types, positions)
        if self.skips_pad:  # RoBERTa's position_ids begin with pad + 1
            packed.positions = numpy.maximum(packed.positions - (self.pad + 1), -1)
        return packed
    packed = pack(ids, keep, types)
    if keep is None or self.positions == 0:
        return packed
    if self.skips_pad:
        real = ids != self.pad
        table = numpy.where(real, numpy.cumsum(real, axis=1) - 1, -1).astype(numpy.int32)
    else:
        table = numpy.arange(ids.shape[1], dtype=numpy.int32)[None]
    packed.positions = packed.choose(table)
    return packed


class Decoder(Pretrained, Generates, Views):
    """A decoder that keeps its rows between calls, as the original's classes do."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rows = Rows(self.session, self.max_batch)

    @classmethod
    def from_pretrained(
        cls,
        model_id_or_path: _Path,
        max_batch: int = 1,
        full_seq_len: Optional[int] = None,
        data_type: object = "float32",
        device_id: Optional[int] = None,
        *,
        device: str = "auto",
        max_seq_len: Optional[int] = None,
        threads: int = 0,
        revision: Optional[str] = None,
        **convert: Any,
    ) -> Any:
        """Opens a model, converting it first where that is needed.

        Parameters
        ----------
        model_id_or_path : path or str
            A .eet file, the folder of a checkpoint, or a name in the hub's local cache.
        max_batch : int
            Rows that there may be at once.
        full_seq_len : int, optional
            Tokens of the longest prompt. Rows grow to the model's positions all the same.
        data_type : dtype
            float32, float16 or bfloat16, of torch, of NumPy or by name; None: the file's own.
        device_id : int, optional
            Number of a CUDA device, -1 for the CPU; the original's name for `device`.
        device : str
            "auto", "cpu", "cuda:1".
        max_seq_len : int, optional
            Tokens that a row may have; default: the model's positions.
        threads : int
            Of the CPU; 0 takes those that the process may use.
        revision : str, optional
            Of a name in the hub's cache.
        **convert
            Options of `eet.convert`.

        Returns
        -------
        An object of this class.

        Raises
        ------
        eet.Error
            The checkpoint is refused, or lacks a head of this class.
        """
        model, config = open_pretrained(
            model_id_or_path, heads_wanted(cls.task), cls.task.arch, data_type,
            pick_device(device, device_id), revision, **convert,
        )  # fmt: skip
        cls._check_family(model)
        return cls(
            model, config, max_batch, full_seq_len, max_seq_len, dtype_name(data_type), threads
        )

    @classmethod
    def from_torch(
        cls,
        torch_model: Any,
        max_batch: int = 1,
        full_seq_len: Optional[int] = None,
        data_type: object = "float32",
        config: Any = None,
        *,
        device: str = "auto",
        max_seq_len: Optional[int] = None,
        threads: int = 0,
    ) -> Any:
        """Takes the weights of a module, or of a state dict.

        Parameters
        ----------
        torch_model : torch.nn.Module or mapping of str to array
        max_batch, full_seq_len, data_type, device, max_seq_len, threads
            As of `from_pretrained`.
        config : mapping or config object, optional
            Default: the module's own.

        Returns
        -------
        An object of this class.
        """
        model, found = open_state(torch_model, config, heads_wanted(cls.task), data_type, device)
        cls._check_family(model)
        return cls(
            model, found, max_batch, full_seq_len, max_seq_len, dtype_name(data_type), threads
        )

    def __call__(
        self,
        input_ids: Any,
        encoder_out: Any = None,
        first_pass: bool = True,
        position_ids: Any = None,
        token_type_ids: Any = None,
        attention_mask: Any = None,
        reorder_state: Any = None,
        *,
        encoder_attention_mask: Any = None,
        mc_token_ids: Any = None,
        **unknown: Any,
    ) -> Any:
        """Computes new columns.

        Parameters
        ----------
        input_ids : array of int
            (batch, columns); (batch, choices, columns) with two heads.
        encoder_out : array, optional
            (batch, tokens, size): what cross attention looks at, with the first pass.
        first_pass : bool
            True begins anew: everything before is forgotten. False goes on; any number of
            columns may be given.
        position_ids, token_type_ids : array of int, optional
            Of the new columns.
        attention_mask : array, optional
            1 keeps a column, 0 leaves it out; of the new columns, or of all until now. Positions
            count what is kept. What was left out once stays out.
        reorder_state : array of int, optional
            With first_pass=False: row b goes on from what row reorder_state[b] was.
        encoder_attention_mask : array, optional
            Of encoder_out.
        mc_token_ids : array of int, optional
            (batch, choices): the column that the choices' head reads; default: the last.

        Returns
        -------
        array or ModelOutput
            EETGPT2Model: the hidden states (batch, columns, size). Others: their outputs by
            name. Columns that are left out are zeros.

        Raises
        ------
        eet.ArgumentError
            An id, a position or a row that does not exist; nothing has changed.
        eet.LimitError
            More rows than max_batch, or longer than max_seq_len; nothing has changed.
        """
        refuse_unknown(type(self).__name__, unknown)
        if (encoder_out is position_ids is token_type_ids is attention_mask is reorder_state
                is mc_token_ids is None and self._plain(input_ids)):  # fmt: skip
            if first_pass:
                self.rows.begin(input_ids.shape[0])
            if self.rows.straight(input_ids.shape[0]):
                return self._at_once(input_ids, first_pass)
        ids, lead = self._lead(input_ids)
        frame = Frame(input_ids, self.data_type)
        self._place(ids, first_pass, reorder_state)
        try:
            if encoder_out is not None and first_pass:
                memory = fill_sources(self.session, encoder_out, encoder_attention_mask)
                self.rows.sources = memory[: len(lead) and ids.shape[0]]
            return self._step(ids, lead, frame, position_ids, token_type_ids, attention_mask,
                              mc_token_ids)  # fmt: skip
        except BaseException:
            if first_pass:
                self.rows.reset()
            raise

    def _step(self, ids: Any, lead: Any, frame: Frame, positions: Any, types: Any, mask: Any,
              columns: Any) -> Any:  # fmt: skip
        packed = self.rows.pack(
            ids, self._flat(mask, lead), self._flat(types, lead), self._flat(positions, lead)
        )
        at = None
        if self.task.choices:
            wanted = [-1] * ids.shape[0]
            if columns is not None:
                table = as_table(columns, "mc_token_ids", len(lead))
                wanted = [int(c) for c in table.reshape(-1)]
            at = packed.find(wanted)
        found = self._outputs(
            "step", packed, frame, self.rows.sequence(packed), self.rows.source(packed), at
        )
        self.rows.advance(ids.shape[1])
        if self.task.choices:
            return self._choices(found, lead, ids.shape[1])
        return self._named(found)

    def _at_once(self, ids: Any, first_pass: bool) -> Any:
        """New columns of rows that are straight, for ids that are `_plain`."""
        try:
            found = self._whole("step", ids, self.session)
        except BaseException:
            if first_pass:
                self.rows.reset()
            raise
        self.rows.advance(ids.shape[1])
        return self._named(found)

    @staticmethod
    def _named(found: dict[str, Any]) -> Any:
        """What a call gives: hidden states alone are no ModelOutput, as in the original."""
        if list(found) == ["last_hidden_state"]:
            return found["last_hidden_state"]
        return ModelOutput(**found)

    forward = __call__

    @property
    def decoder(self) -> Stack:
        """The blocks, as one part."""
        found: Stack = self._part("stack", Stack)
        return found


class Encoder(Pretrained, Views):
    """An encoder: every call is whole."""

    @classmethod
    def from_pretrained(
        cls,
        model_id_or_path: _Path,
        max_batch: int = 1,
        data_type: object = "float32",
        device_id: Optional[int] = None,
        *,
        full_seq_len: Optional[int] = None,
        device: str = "auto",
        threads: int = 0,
        revision: Optional[str] = None,
        **convert: Any,
    ) -> Any:
        """Opens a model, converting it first where that is needed.

        Parameters
        ----------
        model_id_or_path : path or str
            A .eet file, the folder of a checkpoint, or a name in the hub's local cache.
        max_batch : int
            Rows to expect at once; more are computed all the same.
        data_type : dtype
            float32, float16 or bfloat16, of torch, of NumPy or by name; None: the file's own.
        device_id : int, optional
            Number of a CUDA device, -1 for the CPU; the original's name for `device`.
        full_seq_len : int, optional
            Tokens of a row to expect.
        device : str
            "auto", "cpu", "cuda:1".
        threads : int
            Of the CPU; 0 takes those that the process may use.
        revision : str, optional
            Of a name in the hub's cache.
        **convert
            Options of `eet.convert`.

        Returns
        -------
        An object of this class.
        """
        model, config = open_pretrained(
            model_id_or_path, heads_wanted(cls.task), cls.task.arch, data_type,
            pick_device(device, device_id), revision, **convert,
        )  # fmt: skip
        cls._check_family(model)
        return cls(model, config, max_batch, full_seq_len, None, dtype_name(data_type), threads)

    @classmethod
    def from_torch(
        cls,
        torch_model: Any,
        max_batch: int = 1,
        data_type: object = "float32",
        device_id: Optional[int] = None,
        *,
        config: Any = None,
        device: str = "auto",
        threads: int = 0,
    ) -> Any:
        """Takes the weights of a module, or of a state dict.

        Parameters
        ----------
        torch_model : torch.nn.Module or mapping of str to array
        max_batch, data_type, device_id, device, threads
            As of `from_pretrained`.
        config : mapping or config object, optional
            Default: the module's own.

        Returns
        -------
        An object of this class.
        """
        model, found = open_state(
            torch_model, config, heads_wanted(cls.task), data_type, pick_device(device, device_id)
        )
        cls._check_family(model)
        return cls(model, found, max_batch, None, None, dtype_name(data_type), threads)

    def __call__(
        self,
        input_ids: Any,
        position_ids: Any = None,
        token_type_ids: Any = None,
        attention_mask: Any = None,
        **unknown: Any,
    ) -> ModelOutput:
        """Computes whole rows.

        Parameters
        ----------
        input_ids : array of int
            (batch, columns); (batch, choices, columns) for multiple choice.
        position_ids, token_type_ids : array of int, optional
        attention_mask : array, optional
            (batch, columns): 1 keeps a column, 0 leaves it out, wherever it is.

        Returns
        -------
        ModelOutput
            The outputs of the class by name; ``sequence, pooled = model(ids)`` works too.
            Columns that are left out are zeros.
        """
        refuse_unknown(type(self).__name__, unknown)
        if position_ids is token_type_ids is attention_mask is None and self._plain(input_ids):
            return ModelOutput(**self._whole("encode", input_ids, self.session))
        ids, lead = self._lead(input_ids)
        frame = Frame(input_ids, self.data_type)
        packed = encoder_rows(
            self, ids, self._flat(attention_mask, lead), self._flat(token_type_ids, lead),
            self._flat(position_ids, lead),
        )  # fmt: skip
        found = self._outputs("encode", packed, frame)
        if self.task.choices:
            return self._choices(found, lead, ids.shape[1])
        return ModelOutput(**found)

    forward = __call__

    @property
    def encoder(self) -> Stack:
        """The blocks, as one part."""
        found: Stack = self._part("stack", Stack)
        return found
