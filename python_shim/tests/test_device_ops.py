"""The operators on a GPU: the claims of test_ops over tensors that lie there, and the streams of
those who made them."""
import unittest

import eet
import torch
from eet import ops

import device_support
import support
import test_ops
import test_ops_rows
from device_support import Interface, Producer, busy

# What is said of the host's arrays, of forks (a child has no device), or with an id that 32 bits do
# not hold, which is told as the nearest that they do.
ELSEWHERE = ("test_numpy_lists", "test_23_", "test_the_child_of_a_fork", "test_docs_ops")


def setUpModule():
    device_support.need_cuda()


class OnDevice:
    """Every tensor that a test makes lies on the GPU."""

    def setUp(self):
        torch.set_default_device("cuda")
        torch.manual_seed(7)
        self.context = ops.Context("cuda", stream=torch.cuda.current_stream())

    def tearDown(self):
        self.context.close()
        torch.set_default_device("cpu")

    def same(self, got, want):  # masks have a kernel of their own there
        self.near(got, want.double(), got.dtype)


def on_device(case):
    """A case of test_ops, there."""
    elsewhere = {name: None for name in dir(case) if name.startswith(ELSEWHERE)}
    return type(case.__name__ + "OnDevice", (OnDevice, case), elsewhere)


def cases():
    """All of them, by name."""
    return {name + "OnDevice": on_device(case) for module in (test_ops, test_ops_rows)
            for name, case in vars(module).items()
            if isinstance(case, type) and issubclass(case, unittest.TestCase)
            and case.__module__ == module.__name__ and name not in ("Case", "Page")}


globals().update(cases())


class End(unittest.TestCase):
    def test_a_process_ends_with_contexts_that_nobody_closed(self):
        program = ("import torch; from eet import ops\n"
                   "x, w = torch.ones(4, 256, device='cuda'), torch.ones(256, device='cuda')\n"
                   "streams = [torch.cuda.Stream() for _ in range(8)]\n"
                   "kept = [ops.Context('cuda', stream=one) for one in streams]\n"
                   "for one, context in zip(streams, kept):\n"
                   "    with torch.cuda.stream(one):\n"
                   "        ops.layernorm(x, w, w)\n"
                   "        ops.layernorm(x, w, w, context=context)\n"
                   "print('done')")
        for _ in range(3):
            done = support.python(program)
            self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)


class Streams(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(3)
        self.x = torch.randn(64, 256, device="cuda")
        self.weight = torch.randn(256, device="cuda")
        self.want = torch.nn.functional.layer_norm(self.x, (256,), self.weight)
        torch.cuda.synchronize()

    def near(self, got, want=None):
        want = self.want if want is None else want
        self.assertLess(float((torch.as_tensor(got, device="cuda") - want).abs().max()), 1e-4)

    def test_a_call_comes_after_what_its_stream_has_begun_and_waits_for_nothing(self):
        side, done = torch.cuda.Stream(), torch.cuda.Event()
        with torch.cuda.stream(side):
            ops.layernorm(self.x, self.weight)  # the stream has a context now
            late = torch.zeros_like(self.x)
            side.synchronize()
            busy()
            late.copy_(self.x)
            got = ops.layernorm(late, self.weight)
            done.record()
            self.assertFalse(done.query())  # the host did not wait
            self.assertIsInstance(got, torch.Tensor)
            self.near(got)  # in the same stream

    def test_arrays_of_other_streams_are_waited_for(self):
        side = torch.cuda.Stream()
        for wrap in (Producer, lambda late: Interface(late, side.cuda_stream)):
            late = torch.zeros_like(self.x)
            torch.cuda.synchronize()
            with torch.cuda.stream(side):
                busy()
                late.copy_(self.x)
                foreign = wrap(late)
                if wrap is Producer:  # it is asked on the stream that has to come first
                    got = ops.layernorm(foreign, self.weight, out=torch.empty_like(self.x))
            if wrap is not Producer:
                got = ops.layernorm(foreign, self.weight, out=torch.empty_like(self.x))
            self.near(got)

    def test_a_producer_is_asked_for_the_stream_of_the_call(self):
        foreign = Producer(self.x)
        with ops.Context("cuda", stream=torch.cuda.current_stream()) as context:
            ops.layernorm(foreign, self.weight, context=context)
            self.assertEqual(set(foreign.asked), {context.stream})

    def test_results_of_unknown_frameworks_lie_there_and_are_done(self):
        got = ops.layernorm(Producer(self.x), Producer(self.weight))
        self.assertIsInstance(got, eet.Tensor)
        self.assertEqual(got.device, "cuda:0")
        seen = torch.from_dlpack(got)
        self.assertEqual((seen.data_ptr(), seen.device.type), (got.pointer, "cuda"))
        self.near(seen)
        self.near(torch.as_tensor(got, device="cuda"))  # by its array interface

    def test_out_is_written_where_it_lies(self):
        out = torch.empty_like(self.x)
        where = out.data_ptr()
        self.assertIs(ops.layernorm(self.x, self.weight, out=out), out)
        self.assertEqual(out.data_ptr(), where)
        self.near(out)

    def test_cupy_goes_in_and_comes_out_in_its_own_stream(self):
        try:
            import cupy
        except ImportError:
            self.skipTest("there is no CuPy")
        x, weight = cupy.asarray(self.x), cupy.asarray(self.weight)
        self.assertEqual(x.data.ptr, self.x.data_ptr())
        with cupy.cuda.Stream(non_blocking=True) as stream:
            late = cupy.zeros_like(x)
            stream.synchronize()
            with torch.cuda.stream(torch.cuda.ExternalStream(stream.ptr)):
                busy()
            late[...] = x
            got = ops.layernorm(late, weight)
            self.assertIsInstance(got, cupy.ndarray)
            found = cupy.asnumpy(got)
        self.near(torch.as_tensor(found).cuda())

    def test_a_context_without_a_stream_is_done_when_a_call_returns(self):
        with ops.Context("cuda") as context:
            out = torch.empty_like(self.x)
            ops.layernorm(self.x, self.weight, out=out, context=context)
            with torch.cuda.stream(torch.cuda.Stream()):  # which waits for nobody
                self.near(out)

    def test_what_is_wrong_is_said(self):
        host = self.weight.cpu()
        with self.assertRaisesRegex(eet.ArgumentError, "norm.weight is not in the memory"):
            ops.layernorm(self.x, host)
        with self.assertRaisesRegex(eet.ArgumentError, "x is not in the memory"):
            ops.layernorm(self.x.cpu(), host, context=ops.Context("cuda"))
        ids = torch.tensor([[1, 50, 2]], device="cuda")
        out = torch.full((1, 3, 8), 5.0, device="cuda")
        with self.assertRaisesRegex(eet.ArgumentError, "ids of token 1 is 50; the table"):
            ops.embedding(ids, torch.randn(50, 8, device="cuda"), out=out)
        self.assertTrue(bool((out == 5).all()))
        with self.assertRaisesRegex(eet.ArgumentError, "is no stream"):
            ops.Context("cuda", stream="fast")

    def test_ids_may_lie_on_either_side(self):
        ids, table = torch.randint(50, (2, 7)), torch.randn(50, 8, device="cuda")
        types, kinds = torch.randint(2, (1, 7)), torch.randn(2, 8, device="cuda")
        want = table[ids] + kinds[types]
        for where in ("cpu", "cuda"):
            got = ops.embedding(ids.to(where), table, types=types.cuda(), type=kinds)
            self.assertTrue(torch.equal(got, want))

    def test_a_recorded_call_runs_again(self):
        out, graph = torch.empty_like(self.x), torch.cuda.CUDAGraph()
        x = self.x.clone()
        with torch.cuda.stream(torch.cuda.Stream()):
            ops.layernorm(x, self.weight, out=out)
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                ops.layernorm(x, self.weight, out=out)
        x.mul_(3).add_(1)
        graph.replay()
        self.near(out)  # a norm knows neither scale nor shift


if __name__ == "__main__":
    unittest.main()
