"""docs/python.md is true: what stands behind >>> is run, and prints what the page shows."""
import doctest
import os
import re
import tempfile
import unittest

import eet

import support


class Page(unittest.TestCase):
    def test_prints_what_it_shows(self):
        path = os.path.join(support.ROOT, "docs", "python.md")
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"^```.*$", "", file.read(), flags=re.M)
        test = doctest.DocTestParser().get_doctest(text, {}, "docs/python.md", path, 0)
        self.assertGreater(len(test.examples), 20)
        said = []
        before = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(os.path.join(support.ROOT, "fixtures"), os.path.join(folder, "fixtures"))
            os.chdir(folder)
            try:
                failed, _ = doctest.DocTestRunner().run(test, out=said.append, clear_globs=True)
            finally:
                os.chdir(before)
        self.assertEqual(failed, 0, "".join(said))

    def test_names_every_class_of_errors(self):
        with open(os.path.join(support.ROOT, "docs", "python.md"), encoding="utf-8") as file:
            page = file.read()
        for name in eet.errors.__all__:
            if name != "Error":
                self.assertIn(f"`{name}`", page)


if __name__ == "__main__":
    unittest.main()
