"""Importing: what it loads, how long it takes, and which libraries it refuses."""
import ctypes
import os
import re
import subprocess
import tempfile
import unittest

import eet
from eet import _facts, _library, _structs

import support


def structs_of_headers():
    """{struct: [fields]} of the public headers."""
    found = {}
    for name in ("format/eet_types.h", "engine/eet.h"):
        with open(os.path.join(support.ROOT, name), encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        for match in re.finditer(r"typedef struct (eet_\w+) \{(.*?)\} \1;", text, re.S):
            fields = []
            for part in re.split(r"[;,]", match[2]):
                words = re.findall(r"\w+", re.sub(r"\[[^\]]*\]", "", part))
                if words:
                    fields.append(words[-1])
            found[match[1]] = fields
    return found


class Import(unittest.TestCase):
    def test_loads_neither_numpy_nor_torch(self):
        done = support.python("import sys, eet; print('numpy' in sys.modules, 'torch' in sys.modules)")
        self.assertEqual(done.stdout, "False False\n", done.stderr)

    def test_names_what_is_looked_up_later(self):
        program = "import eet; print(set(eet.__all__) - set(dir(eet))); print(eet.Generator, eet.Token)"
        done = support.python(program)
        self.assertEqual(done.stdout.splitlines()[0], "set()", done.stderr)
        self.assertIn("eet.generator.Generator", done.stdout)

    def test_takes_less_than_50_ms(self):
        program = ("import time, ctypes, threading; began = time.perf_counter(); import eet; "
                   "print(time.perf_counter() - began)")
        with tempfile.TemporaryDirectory() as compiled:  # as installed
            seconds = [float(support.python(program, PYTHONDONTWRITEBYTECODE="",
                                            PYTHONPYCACHEPREFIX=compiled).stdout) for _ in range(8)]
        self.assertLess(min(seconds), 0.050)

    def test_tells_its_library(self):
        self.assertTrue(os.path.samefile(eet.library_path(), os.environ["EET_LIBRARY"]))
        self.assertEqual(eet.library_version(), eet.__version__)
        done = support.python("import eet.info, sys; sys.exit(eet.info.main(['--json']))")
        self.assertIn('"cpu": "here"', done.stdout)
        self.assertIn("cpu", eet.backends())

    def test_names_are_there(self):
        for name in eet.__all__:
            self.assertTrue(hasattr(eet, name), name)
        with self.assertRaises(AttributeError):
            eet.no_such_name


class Wheels(unittest.TestCase):
    def test_have_the_version_of_the_library(self):
        found = []
        for name, pattern in (
                ("CMakeLists.txt", r"project\(eet VERSION ([\d.]+)"),
                ("pyproject.toml", r'^version = "(.*)"'),
                ("python_shim/cuda/pyproject.toml", r'^version = "(.*)"'),
                ("python_shim/cuda/pyproject.toml", r'^dependencies = \["eet == (.*)"\]')):
            with open(os.path.join(support.ROOT, name), encoding="utf-8") as file:
                found += re.findall(pattern, file.read(), re.M)
        self.assertEqual(found, [eet.__version__] * 4)


class Structs(unittest.TestCase):
    def test_are_those_of_the_headers(self):
        headers = structs_of_headers()
        self.assertEqual(sorted(headers), sorted(_structs.STRUCTS))
        for name, fields in headers.items():
            self.assertEqual([field[0] for field in _structs.STRUCTS[name]._fields_], fields, name)

    def test_are_all_known_to_the_library(self):
        for name, fields in structs_of_headers().items():
            for field in fields:
                self.assertGreater(_library.lib.eet_layout(f"{name}.{field}".encode(), None), 0)

    def test_functions_are_those_of_the_header(self):
        with open(os.path.join(support.ROOT, "engine/eet.h"), encoding="utf-8") as file:
            declared = re.findall(r"^EET_API [^;(]*?(eet_\w+)\(", file.read(), re.M)
        self.assertEqual(sorted(declared), sorted(row[0] for row in _library.FUNCTIONS))

    def test_keys_of_facts_are_those_of_the_page(self):
        with open(os.path.join(support.ROOT, "docs/format.md"), encoding="utf-8") as file:
            page = file.read()
        for key in _facts.keys(1):
            short = re.sub(r"^(enc|dec)\.", "S.", key).replace("head.0.", "head.N.")
            tok = "S.tok.pad" if short.startswith("S.tok.") else short
            known = f"`{tok}`" in page or f"`{key}`" in page
            known = known and (tok == short or f"`.{short[6:]}`" in page or short == tok)
            self.assertTrue(known, key)


class Wrong(unittest.TestCase):
    """Libraries that are not the one the package was written for."""

    def load(self, source, *flags):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "libwrong.so")
            with open(os.path.join(folder, "wrong.c"), "w", encoding="utf-8") as file:
                file.write(source)
            subprocess.run(["cc", "-shared", "-fPIC", "-o", path, os.path.join(folder, "wrong.c"),
                            *flags], check=True)
            done = support.python("import eet", EET_LIBRARY=path)
        self.assertEqual(done.returncode, 1, done.stderr)
        last = done.stderr.strip().splitlines()[-1]
        self.assertTrue(last.startswith("ImportError: "), last)
        return last

    def test_another_major_number(self):
        said = self.load("unsigned eet_abi(void) { return 2u << 16 | 5; }")
        self.assertIn("ABI 2.5", said)
        self.assertIn(f"{_library.ABI_MAJOR}.{_library.ABI_MINOR}", said)

    def test_an_older_minor_number(self):
        self.assertIn("ABI 1.0", self.load("unsigned eet_abi(void) { return 1u << 16; }"))

    def test_another_library(self):
        self.assertIn("no libeet.so", self.load("int something(void) { return 1; }"))

    def test_a_missing_function(self):
        said = self.load("unsigned eet_abi(void) { return 1u << 16 | 99; }")
        self.assertIn("no function eet_version", said)

    def test_another_layout(self):
        real = os.environ["EET_LIBRARY"]
        source = """#include <string.h>
            int eet_layout(const char *name, int *offset) {
                if (offset != 0) *offset = 4;
                return strcmp(name, "eet_error") == 0 ? 512 : 4;
            }"""
        said = self.load(source, "-Wl,--no-as-needed", real,
                         "-Wl,-rpath," + os.path.dirname(real))
        self.assertIn("eet_error.", said)

    def test_a_path_that_is_not_there(self):
        done = support.python("import eet", EET_LIBRARY="/nowhere/libeet.so")
        self.assertIn("ImportError", done.stderr)
        self.assertIn("/nowhere/libeet.so", done.stderr)

    def test_a_longer_struct_is_fine(self):
        source = """#include <dlfcn.h>
            #include <string.h>
            int eet_layout(const char *name, int *offset) {
                int (*real)(const char *, int *) = dlsym(RTLD_NEXT, "eet_layout");
                return real(name, offset) + (strcmp(name, "eet_batch") == 0 ? 8 : 0);
            }"""
        real = os.environ["EET_LIBRARY"]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "liblonger.so")
            with open(os.path.join(folder, "longer.c"), "w", encoding="utf-8") as file:
                file.write("#define _GNU_SOURCE\n" + source)
            subprocess.run(["cc", "-shared", "-fPIC", "-o", path,
                            os.path.join(folder, "longer.c"), "-Wl,--no-as-needed", real,
                            "-Wl,-rpath," + os.path.dirname(real)], check=True)
            done = support.python("import eet; print(eet.library_version())", EET_LIBRARY=path)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_ctypes_agrees_with_itself(self):
        self.assertEqual(ctypes.sizeof(_structs.Error), 512)


if __name__ == "__main__":
    unittest.main()
