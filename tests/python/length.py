#!/usr/bin/env python3
"""length.py - no Python file of the project has more than 500 lines, no function more than 60 beside its
docstring."""
import ast
import os
import pathlib
import sys

FILE, FUNCTION = 500, 60
FOLDERS = ("python_shim", "tests", "fixtures", "converter", "engine")


def long_parts(path):
    """What is too long in a file, in words."""
    text = path.read_text("utf-8")
    if text.count("\n") > FILE:
        yield f"{path}: {text.count(chr(10))} lines, against {FILE}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            said = ast.get_docstring(node, clean=False)
            lines = node.end_lineno - node.lineno + 1 - (said.count("\n") + 1 if said else 0)
            if lines > FUNCTION:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines, against {FUNCTION}"


def main():
    os.chdir(os.environ.get("EET_ROOT") or pathlib.Path(__file__).parents[2])
    files = sorted(path for folder in FOLDERS for path in pathlib.Path(folder).rglob("*.py"))
    found = [words for path in files for words in long_parts(path)]
    print("\n".join(found) or f"{len(files)} files")
    return 1 if found or not files else 0


sys.exit(main())
