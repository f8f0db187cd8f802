"""docs/compat.md lists what there is: classes, and for each of the sixty behaviours its tests."""
import re
import unittest

import tables_support as support

from eet import fairseq, transformers

# Of other families and later work, as the issue of this package says.
EXCEPTED = {32, 33, 37, 38, 43, 45, 49, 51, 52, 54}
TEXT = (support.ROOT / "docs" / "compat.md").read_text()
ROWS = {int(number): row for number, row in re.findall(
    r"^\| (\d+) \| (.*) \|$", TEXT.partition("## The behaviours")[2], re.M)}


def tests_of(folder, pattern):
    """Names of tests in files below a folder."""
    found = set()
    for path in (support.ROOT / folder).iterdir():
        if path.suffix in (".py", ".c"):
            found |= set(re.findall(pattern, path.read_text(), re.M))
    return found


PYTHON = tests_of("python_shim/tests", r"^    def (test_\w+)\(self")
C = tests_of("tests/engine", r"^START_TEST\((\w+)\)") | tests_of(
    "tests/kernels", r"^START_TEST\((\w+)\)")


class Behaviours(unittest.TestCase):
    def test_every_behaviour_has_a_row(self):
        self.assertEqual(list(ROWS), list(range(1, 61)))

    def test_every_test_that_is_named_is_there(self):
        for number, row in ROWS.items():
            for name in re.findall(r"`(\w+)`", row):
                if name.startswith("test_") or name.count("_") > 2:
                    self.assertIn(name, PYTHON | C, number)
        for name in re.findall(r"(?:tests|python_shim)/[\w/]*\.(?:c|py|md)\b", TEXT):
            self.assertTrue((support.ROOT / name).is_file(), name)

    def test_every_test_named_after_a_behaviour_is_in_its_row(self):
        for name in PYTHON:
            number = re.match(r"test_(\d\d)_", name)
            if number:
                self.assertIn(f"`{name}`", ROWS[int(number[1])])

    def test_those_without_a_test_named_after_them_are_the_excepted_ones(self):
        without = {number for number, row in ROWS.items()
                   if f"`test_{number:02}_" not in row}
        self.assertEqual(without, EXCEPTED)
        for number in EXCEPTED:
            self.assertRegex(ROWS[number], "other families|later work")


class Classes(unittest.TestCase):
    def test_every_class_that_is_named_is_there(self):
        for name in re.findall(r"`(EET[A-Z][a-z]\w+|EETGPT2\w+|AutoModel\w*)`", TEXT):
            self.assertTrue(hasattr(transformers, name) or hasattr(fairseq, name), name)


if __name__ == "__main__":
    unittest.main()
