"""How fast a model reaches the GPU, and what bounds it, in one process: eet_model_open beside safetensors'
load_file(device="cuda") of as many bytes, copies from pinned and from pageable memory, and the file read alone. Warm:
the file is in the page cache. Cold: it was put out of it. A JSON object a line.

  python3 load.py --eet LIBEET.SO --model FILE.eet [--rounds N] [--warm]
"""

import argparse
import json
import os
import statistics
import time

import safetensors.torch
import torch

import stub


def say(**fields):
    print(json.dumps(fields), flush=True)


def seconds(function):
    torch.cuda.synchronize()
    begin = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def forget(path):
    """The file leaves the page cache, and with root's rights all that is in it."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if os.access("/proc/sys/vm/drop_caches", os.W_OK):
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("1\n")


def read(path):
    block = bytearray(8 << 20)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(block):
            pass


def like(path, out):
    """A safetensors file with as many bytes in matrices of 16 MiB: what is in them plays no part."""
    count = max(1, os.path.getsize(path) // (16 << 20))
    tensors = {f"layer.{i}": torch.randn(2048, 4096).half() for i in range(min(count, 8))}
    tensors.update({f"layer.{i}": tensors[f"layer.{i % 8}"].clone() for i in range(8, count)})
    safetensors.torch.save_file(tensors, out)


class Loads:
    def __init__(self, o):
        self.library, self.path = stub.Library(os.path.abspath(o.eet)), o.model
        self.peer = o.model + ".safetensors"
        like(self.path, self.peer)

    def eet(self):
        model = self.library.open(self.path)
        self.after = lambda: self.library.close(model)

    def safetensors(self):
        tensors = safetensors.torch.load_file(self.peer, device="cuda")
        self.after = lambda tensors=tensors: tensors.clear()

    def file(self):
        read(self.path)
        self.after = lambda: None

    def timed(self, name, cold):
        path = self.peer if name == "safetensors" else self.path
        if cold:
            forget(path)
        took = seconds(getattr(self, name))
        self.after()
        torch.cuda.empty_cache()
        return took


def copies():
    """GB/s of cudaMemcpy of 1 GB from pinned and from pageable memory that has been touched."""
    count = 1 << 30
    there = torch.empty(count, dtype=torch.uint8, device="cuda")
    rates = {}
    for kind, pinned in (("pinned", True), ("pageable", False)):
        here = torch.ones(count, dtype=torch.uint8, pin_memory=pinned)
        there.copy_(here)
        rates[kind] = count / 1e9 / min(seconds(lambda here=here: there.copy_(here)) for _ in range(3))
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--eet", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", action="store_true")
    o = parser.parse_args()
    loads = Loads(o)
    gigabytes = os.path.getsize(o.model) / 1e9
    say(what="copies", gpu=torch.cuda.get_device_name(), cpus=len(os.sched_getaffinity(0)), **copies())
    for cold in (False, True)[:1 if o.warm else 2]:
        names = ("eet", "safetensors", "file")
        for name in names:
            loads.timed(name, False)  # the first has CUDA to start, and kernels to load
        times = {name: [] for name in names}
        for _ in range(o.rounds):
            for name in names:
                times[name].append(loads.timed(name, cold))
        rates = {name: round(gigabytes / statistics.median(t), 2) for name, t in times.items()}
        say(what="load", cold=cold, gigabytes=gigabytes, gb_s=rates, best_s={n: min(t) for n, t in times.items()})
    os.unlink(loads.peer)


if __name__ == "__main__":
    main()
