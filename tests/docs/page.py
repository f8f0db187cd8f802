#!/usr/bin/env python3
"""page.py PAGE BINDIR LIBDIR - a page of docs/ is true: its C programs compile, and its console
blocks print what the page shows.

A block ```c whose first line is /* NAME.c ... */ or /* NAME.h ... */ is that file. Programs are
compiled and linked with libeet.so alone. In a block ```console a line `$ command` is run by bash in
the folder of the files, with the repository's fixtures/ beside them and BINDIR in PATH; what follows
up to the next `$` is its output, standard error included. With --bless the outputs are written into
the page. A shown exit code is the line `[exit N]` after the output."""
import os
import re
import subprocess
import sys
import tempfile

FLAGS = "-std=c17 -O1 -Wall -Wextra -Wpedantic -Werror -pthread".split()


def blocks(text):
    """(kind, body, start, end) of the fenced blocks; start and end of the body in the text."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        yield match.group(1), match.group(2), match.start(2), match.end(2)


def compile_programs(page, root, folder, lib):
    """Writes the page's files, compiles the programs, returns how many there were."""
    names = []
    for kind, body, _, _ in blocks(page):
        named = re.match(r"/\* (\w+\.[ch])\b", body)
        if kind == "c" and named:
            names.append(named.group(1))
            with open(os.path.join(folder, named.group(1)), "w", encoding="utf-8") as file:
                file.write(body)
    programs = [name for name in names if name.endswith(".c")]
    for name in programs:
        command = ["cc", *FLAGS, f"-I{root}/engine", f"-I{root}/format", name, f"-L{lib}", "-leet",
                   "-lm", f"-Wl,-rpath,{lib}", "-o", name[:-2]]
        subprocess.run(command, cwd=folder, check=True)
    return len(programs)


def run(command, folder, binaries):
    """What the command prints, as a page shows it."""
    environment = dict(os.environ, PATH=f"{binaries}:{os.environ['PATH']}", LC_ALL="C.UTF-8")
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False)
    output = done.stdout
    if output and not output.endswith("\n"):
        output += "\n"
    if done.returncode != 0:
        output += f"[exit {done.returncode}]\n"
    return output


def replay(body, folder, binaries):
    """The block as it would be if its commands were run now, and how many there were."""
    result, count = "", 0
    for part in re.split(r"(?m)^(?=\$ )", body):
        if part.startswith("$ "):
            line = part.split("\n", 1)[0]
            result += line + "\n" + run(line[2:], folder, binaries)
            count += 1
    return result, count


def main(path, binaries, lib, bless):
    """Checks one page (or writes its outputs down); the number of differences."""
    root = os.getcwd()
    with open(path, encoding="utf-8") as file:
        page = file.read()
    wrong, commands, fresh, last = 0, 0, "", 0
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.join(root, "fixtures"), os.path.join(folder, "fixtures"))
        programs = compile_programs(page, root, folder, lib)
        for kind, body, start, end in blocks(page):
            if kind != "console":
                continue
            shown, count = replay(body, folder, binaries)
            commands += count
            fresh += page[last:start] + shown
            last = end
            if shown != body and not bless:
                wrong += 1
                print(f"{path} shows:\n{body}but it is:\n{shown}")
    if bless:
        with open(path, "w", encoding="utf-8") as file:
            file.write(fresh + page[last:])
    if commands == 0:
        print(f"{path}: no command was found")
        return 1
    print(f"{path}: {programs} programs, {commands} commands, {wrong} blocks differ")
    return wrong


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--bless"]
    sys.exit(1 if main(arguments[0], os.path.abspath(arguments[1]), os.path.abspath(arguments[2]),
                       "--bless" in sys.argv) else 0)
