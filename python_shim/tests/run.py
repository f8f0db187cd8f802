#!/usr/bin/env python3
"""run.py MODULE - runs the tests of a module beside this file against the build that EET_LIB and
EET_BIN name (CTest sets both). 77: all
was skipped."""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> int:
    lib = os.environ.get("EET_LIB")
    if lib:
        os.environ["EET_LIBRARY"] = os.path.join(lib, "libeet.so.1")
    shim = os.path.dirname(HERE)
    sys.path[:0] = [shim, HERE]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [shim, HERE, *filter(None, [os.environ.get("PYTHONPATH")])])
    suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:])
    if suite.countTestCases() == 0:
        print("there are no tests")
        return 1
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if result.skipped and result.testsRun == len(result.skipped) or not result.testsRun:
        return 77 if result.wasSuccessful() else 1
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
