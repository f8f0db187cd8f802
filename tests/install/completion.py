#!/usr/bin/env python3
"""completion.py BUILD - the completion of every command, in bash.

Every option and every value that the command itself knows is asked for, by calling the completion
function as bash does; then some lines are typed into a real bash on a terminal, with the tab key."""
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time

BIN = os.environ["EET_BIN"]
SHARE = os.path.join(os.path.abspath(sys.argv[1]), "share")
failures = []


def check(condition, text):
    if not condition:
        failures.append(text)


def say(command, *arguments):
    done = subprocess.run([os.path.join(BIN, command), *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False)
    return done.stdout + done.stderr


def options_of(command):
    """(name, letter or None, whether a value follows, whether only after =) from --help: a line
    each, and the brief ones that share a few lines behind "more"."""
    found = []
    text = say(command, "--help").split("\nExamples:")[0]
    more = re.search(r"^  more .*?:((?: .*\n)(?:      --.*\n)*)", text, re.MULTILINE)
    for name, value in re.findall(r"--([a-z0-9-]+)(\[=\S+\]|(?: [^-\s]\S*)?)",
                                  more.group(1) if more else ""):
        found.append((name, None, bool(value), value.startswith("[")))
    for line in (text.replace(more.group(0), "") if more else text).splitlines():
        match = re.match(r" +(?:-(\w), )?--([a-z0-9-]+)(\[=\S+\]|(?: \S+)?)(?:  |$)", line)
        if match:
            letter, name, value = match.groups()
            found.append((name, letter, bool(value), value.startswith("[")))
    return found


def choices_of(command, name):
    """The values that --name takes, if it takes some of a list, from its complaint."""
    match = re.search(r"takes one of (\S+), not", say(command, f"--{name}=@", "x"))
    return match.group(1).split("|") if match else None


# Splits a line as readline does, calls the function, prints the answer.
ASK = r"""
compopt() { :; }
source "$1"
shift
read -r -a spec < <(complete -p "$1")
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"${spec[-2]}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
"""


def ask(command, *words, folder=None):
    done = subprocess.run(["bash", "--norc", "-c", ASK, "ask", os.path.join(SHARE, command), command,
                           *words], capture_output=True, text=True, cwd=folder, check=False)
    check(done.stderr == "", f"{command} {words}: bash says {done.stderr!r}")
    return sorted(set(done.stdout.split("\n")) - {""})


def check_options(command):
    known = options_of(command)
    check(len(known) > 3, f"{command} --help has hardly any option")
    offered = ask(command, "--")
    wanted = sorted([f"--{name}" for name, *_ in known] +
                    [f"--{name}=" for name, _, _, attached in known if attached])
    check(offered == wanted, f"{command} --<tab> gives {offered}, against {wanted}")
    for name, letter, takes, attached in known:
        check(f"--{name}" in ask(command, f"--{name[:-1]}"), f"{command} --{name[:-1]}<tab>")
        if not takes:
            continue
        choices = choices_of(command, name)
        ways = [("=",), ("=", "")] + ([] if attached else [("",)])
        for way in ways:
            got = ask(command, f"--{name}", *way)
            check(got == sorted(choices or []), f"{command} --{name} {way}<tab> gives {got}")
        if choices:
            one = choices[-1]
            check(ask(command, f"--{name}", "=", one[:1]) ==
                  sorted(c for c in choices if c.startswith(one[:1])), f"{command} --{name}={one[:1]}")
            check(ask(command, f"--{name}={one}") == [f"--{name}={one}"],
                  f"{command} --{name}={one}<tab> as one word")
            if letter:
                check(ask(command, f"-{letter}", "") == sorted(choices), f"{command} -{letter} <tab>")
    check(ask(command, "--", "--h") == [], f"{command} offers options behind --")


def check_files(command, folder):
    got = ask(command, "", folder=folder)
    if command == "eet-convert":  # readline's own, which is asked below
        check(got == [], f"{command} <tab> gives {got}")
    else:
        check(got == ["folder", "two words.eet", "zoo.eet"], f"{command} <tab> gives {got}")
    check(ask(command, "no", folder=folder) == [], f"{command} no<tab> leaves it to readline")


class Terminal:
    """A bash in which EET's commands print their arguments."""

    def __init__(self, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"],
                       {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "$ ", "HOME": folder,
                        "HISTFILE": ""})
        setup = "stty -echo; bind 'set bell-style none'; "
        for command in sorted(os.listdir(SHARE)):
            if command.startswith("eet-") and "." not in command:
                setup += f"source {SHARE}/{command}; {command}() {{ printf '<%s>' \"$@\"; echo; }}; "
        self.send(setup + "echo rea''dy\n")
        self.read_until("ready")

    def send(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, mark):
        text = ""
        end = time.monotonic() + 20
        while mark not in text and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                text += os.read(self.fd, 65536).decode(errors="replace")
        check(mark in text, f"the terminal shows {text!r} and no {mark!r}")
        return text

    def type(self, line, wanted):
        """Types the line and enter; what the command was given must be `wanted`."""
        self.send(f"{line} ; echo do''ne\n")
        text = self.read_until("done")
        given = re.findall(r"<([^<>]*)>", text)
        check(given == wanted, f"{line!r} gives {given}, against {wanted}")


def check_typing(folder):
    terminal = Terminal(folder)
    terminal.type("eet-inspect --prov\tzo\t", ["--provenance", "zoo.eet"])
    terminal.type("eet-inspect two\t", ["two words.eet"])
    terminal.type("eet-inspect fol\tdeep\t", ["folder/deep.eet"])
    terminal.type("eet-inspect --digest=we\tzoo.eet", ["--digest=weights", "zoo.eet"])
    terminal.type("eet-convert --dtype b\tno\t", ["--dtype", "bf16", "notes.txt"])
    terminal.type("eet-convert -o fol\tx.eet", ["-o", "folder/x.eet"])
    terminal.type("eet-verify no\t", ["notes.txt"])
    terminal.type("eet-verify --level z\t zoo.eet", ["--level", "z", "zoo.eet"])
    terminal.send("exit\n")
    os.close(terminal.fd)
    os.waitpid(terminal.pid, 0)


def main():
    commands = sorted(name for name in os.listdir(BIN) if name.startswith("eet-"))
    check(len(commands) >= 5, f"hardly any command in {BIN}: {commands}")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("zoo.eet", "two words.eet", "notes.txt", "rows.jsonl"):
            open(os.path.join(folder, name), "w", encoding="ascii").close()
        os.mkdir(os.path.join(folder, "folder"))
        open(os.path.join(folder, "folder", "deep.eet"), "w", encoding="ascii").close()
        for command in commands:
            check_options(command)
            check_files(command, folder)
        check_typing(folder)
    for failure in failures:
        print(failure)
    print(f"{len(commands)} commands, {len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
