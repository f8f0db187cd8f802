"""Shared by the tests of the class tables: checkpoints, their float64 outputs, a cache of its own."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "fixtures" / "checkpoints"
GOLDEN = ROOT / "fixtures" / "golden"

if "EET_CACHE" not in os.environ:
    os.environ["EET_CACHE"] = tempfile.mkdtemp(prefix="eet-test-")
    atexit.register(shutil.rmtree, os.environ["EET_CACHE"], True)


class Golden:
    """The rows of a golden file as padded arrays, and what they give."""

    def __init__(self, name, side="left", pad=0):
        import h5py

        with h5py.File(GOLDEN / (name + ".h5")) as file:
            self.data = {key: file[key][()] for key in file if not isinstance(file[key], h5py.Group)}
        self.start = self.data["start"]
        self.rows = len(self.start) - 1
        self.lengths = numpy.diff(self.start)
        self.width = int(max(self.lengths))
        self.side = side
        self.keep = numpy.zeros((self.rows, self.width), bool)
        for row, length in enumerate(self.lengths):
            if side == "left":
                self.keep[row, self.width - length :] = True
            else:
                self.keep[row, :length] = True
        self.ids = self.padded(self.data["tokens"], pad)
        self.mask = self.keep.astype(numpy.int64)
        self.types = self.padded(self.data["types"], 0) if "types" in self.data else None

    def padded(self, values, fill):
        made = numpy.full((self.rows, self.width), fill, dtype=numpy.int64)
        made[self.keep] = values
        return made

    def row(self, row):
        """The ids of a row alone, (1, length)."""
        return self.data["tokens"][None, self.start[row] : self.start[row + 1]].astype(numpy.int64)

    def error(self, name, found):
        """The largest difference of a value of every token, as a share of what contracts allow."""
        return share(found[self.keep], self.data[name])


def share(found, wanted):
    """|ours - ref| <= 1e-4 max(1, max |ref| of the row), as a share of that."""
    found, wanted = numpy.asarray(found, numpy.float64), numpy.asarray(wanted, numpy.float64)
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    room = 1e-4 * numpy.maximum(1, abs(wanted).max(axis=-1, keepdims=True))
    return float((abs(found - wanted) / room).max())
