"""Lets torch 1.13 and transformers run on Python 3.11 (see install.sh, which puts this in place).

Python 3.11 refuses a dataclass default whose class has no hash; torch.distributed uses some. Until
3.10 only list, dict and set were refused: this brings that rule back.
"""

import dataclasses

strict_field = dataclasses._get_field


def lenient_field(cls, name, *rest):
    """dataclasses._get_field by the older rule."""
    try:
        return strict_field(cls, name, *rest)
    except ValueError as refusal:
        default = getattr(cls, name, dataclasses.MISSING)
        if isinstance(default, dataclasses.Field):
            default = default.default
        kind = type(default)
        if "mutable default" not in str(refusal) or kind in (list, dict, set):
            raise
        kind.__hash__ = object.__hash__
        try:
            return strict_field(cls, name, *rest)
        finally:
            kind.__hash__ = None


dataclasses._get_field = lenient_field
