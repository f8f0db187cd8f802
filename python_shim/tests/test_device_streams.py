"""Sessions on a GPU beside streams of the caller's: nobody reads too early, and nobody waits for
nothing."""
import unittest

import eet
import numpy
import torch

import device_support
import support
from device_support import Interface, Producer, busy


def setUpModule():
    device_support.need_cuda()


class Races(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = eet.load(support.model("gpt2_tiny"))
        cls.session = cls.model.session(max_sequences=2)
        cls.ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
        cls.want = cls.session.encode(cls.ids.cuda())
        torch.cuda.synchronize()

    def late(self, side):
        """Ids that are zeros until the side stream comes to them."""
        ids = torch.zeros(2, 4, dtype=torch.int64, device="cuda")
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            busy()
            ids.copy_(self.ids.cuda(), non_blocking=True)
        return ids

    def test_ids_of_a_producer_that_is_not_done(self):
        side = torch.cuda.Stream()
        for wrap in (lambda ids: ids, Producer, lambda ids: Interface(ids, side.cuda_stream)):
            ids = self.late(side)
            with torch.cuda.stream(side):
                found = self.session.encode(wrap(ids))
            seen = found if isinstance(found, torch.Tensor) else torch.from_dlpack(found)
            self.assertTrue(torch.equal(seen.cpu(), self.want.cpu()))

    def test_an_interface_names_its_stream_whatever_is_current(self):
        side = torch.cuda.Stream()
        found = self.session.encode(Interface(self.late(side), side.cuda_stream))
        self.assertTrue(torch.equal(torch.from_dlpack(found).cpu(), self.want.cpu()))

    def test_results_are_done_for_every_stream(self):
        other = torch.cuda.Stream()  # which waits for nobody
        for _ in range(20):
            out = torch.full((2, 4, 101), -1.0, device="cuda")
            self.session.encode(self.ids, outputs=eet.Output("lm", out=out))
            with torch.cuda.stream(other):
                seen = out.clone()
            other.synchronize()
            self.assertTrue(torch.equal(seen.cpu(), self.want.cpu()))

    def test_out_is_written_after_what_its_stream_still_does_with_it(self):
        side = torch.cuda.Stream()
        token = numpy.array([1], "i4")
        session = self.model.session()
        out = torch.zeros(1, 101, device="cuda")
        step = session.bind(token, outputs=eet.Output("lm", "last", out=out))
        for number in range(3):
            torch.cuda.synchronize()
            with torch.cuda.stream(side):
                busy(10)
                out.fill_(7.0)  # comes late, and must not come last
                token[0] = self.ids[0, number]
                step()
            torch.cuda.synchronize()
            near = (out.cpu() - self.want[0, number].cpu()).abs().max()
            self.assertLess(float(near), 1e-4)

    def test_memory_of_a_dropped_array_is_not_written_too_early(self):
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(5):
                old = torch.ones(2, 4, 101, device="cuda")
                keep = torch.empty_like(old)
                side.synchronize()
                busy(10)
                keep.copy_(old)  # reads old after the sleep
                del old  # its memory is the next result's
                found = self.session.encode(self.ids.cuda())
                side.synchronize()
                self.assertTrue(bool((keep == 1).all()))
                self.assertTrue(torch.equal(found.cpu(), self.want.cpu()))


if __name__ == "__main__":
    unittest.main()
