"""Shared by the tests on a GPU: who is skipped, arrays of unknown frameworks, work that takes a
while."""
import unittest

import eet
import torch


def need_cuda():
    """For setUpModule: skips where torch or the library has no device."""
    if not torch.cuda.is_available():
        raise unittest.SkipTest("torch finds no CUDA device")
    if "cuda" not in eet.backends():
        raise unittest.SkipTest("the library has no CUDA backend")


class Producer:
    """A framework that nobody knows: it has DLPack alone, and says for which streams it was asked."""

    def __init__(self, tensor):
        self.tensor = tensor
        self.asked = []

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        self.asked.append(stream)
        return self.tensor.__dlpack__(stream=stream)


class Interface:
    """The same with an array interface alone, in the order of a stream."""

    def __init__(self, tensor, stream):
        self.tensor = tensor
        shape, strides = tuple(tensor.shape), tensor.stride()
        self.__cuda_array_interface__ = {
            "version": 3, "shape": shape, "data": (tensor.data_ptr(), False), "stream": stream,
            "typestr": {torch.float32: "<f4", torch.int64: "<i8", torch.int32: "<i4"}[tensor.dtype],
            "strides": tuple(step * tensor.element_size() for step in strides)}


def busy(milliseconds=40):
    """Keeps torch's current stream busy for a while."""
    torch.cuda._sleep(int(milliseconds * 1.5e6))
