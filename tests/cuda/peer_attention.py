"""peer_attention.py - torch's scaled_dot_product_attention with the cases of bench_attention.c.

f16, each backend of it in a CUDA graph over enough layers to leave no key in the cache; the fastest
is what is printed. Ragged rows are timed padded to the longest. Needs a CUDA device and torch.
"""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

DECODE = [(1, 12, 64, 1024), (4, 12, 64, 1024), (1, 16, 64, 1024), (16, 16, 64, 1024),
          (64, 16, 64, 1024), (1, 25, 64, 1024), (1, 16, 64, 16384), (16, 32, 128, 2048)]
PREFILL = [(1, 16, 64, 1024), (4, 16, 64, 1024), (1, 16, 64, 16384), (4, 16, 128, 2048),
           (4, 8, 256, 2048)]
ENCODE = [(1, 12, 64, 128), (8, 12, 64, 128), (32, 12, 64, 128), (32, 12, 64, 384),
          (32, 12, 64, 512), (32, 16, 64, 512)]
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION,
            "efficient": SDPBackend.EFFICIENT_ATTENTION}
REPLAYS = 10


def graph_us(work, count):
    """Microseconds of one of the `count` calls of work."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        work(0)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(count):
            work(i)
    graph.replay()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(REPLAYS):
        graph.replay()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1000 / REPLAYS / count


def time_case(name, rows, heads, dim, keys, queries, causal):
    size = 4 * rows * keys * heads * dim
    layers = max(2, min(24, (200 << 20) // size + 1))
    q = torch.randn(layers, rows, heads, queries, dim, device="cuda", dtype=torch.half)
    k, v = (torch.randn(layers, rows, heads, keys, dim, device="cuda", dtype=torch.half)
            for _ in range(2))
    best = {}
    for backend, kind in BACKENDS.items():
        try:
            with sdpa_kernel(kind):
                best[backend] = graph_us(
                    lambda i: torch.nn.functional.scaled_dot_product_attention(
                        q[i], k[i], v[i], is_causal=causal), layers)
        except RuntimeError:
            continue
    backend = min(best, key=best.get)
    print(f"{name:8} {rows:3} x {keys:5}, {heads:2} heads of {dim:3}: {best[backend]:8.2f} us "
          f"{backend}", flush=True)


def main():
    x = torch.randn(8192, 8192, device="cuda", dtype=torch.half)
    print(f"a product: {2 * 8192 ** 3 / graph_us(lambda i: x @ x, 3) / 1e6:.0f} TFLOP/s")
    for rows, heads, dim, keys in DECODE:
        time_case("decode", rows, heads, dim, keys, 1, False)
    for rows, heads, dim, keys in PREFILL:
        time_case("prefill", rows, heads, dim, keys, keys, True)
    for rows, heads, dim, keys in ENCODE:
        time_case("encode", rows, heads, dim, keys, keys, False)


if __name__ == "__main__":
    main()
