"""The exceptions of this package."""
from ._errors import *  # noqa: F401,F403
from ._errors import __all__ as __all__
