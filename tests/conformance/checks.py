"""What a check is, and the tools that checks are made with."""
import dataclasses
import functools
import importlib.metadata
import re
import shutil
import subprocess
import sys
import typing


# Of what is called large in a check, in bytes. Where only a part of the suite is run, it is over in seconds.
LARGE = 3_000_000 if "--part" in sys.argv else 20_000_000


class Unavailable(Exception):
    """The tool cannot be had here: not a failure of the gateway, and told as what it is."""


@dataclasses.dataclass
class Tool:
    """Something that speaks to the gateway and was not written here: a program, or a Python package."""

    name: str
    program: typing.Optional[str] = None
    package: typing.Optional[str] = None
    version_arguments: tuple = ("--version",)

    @functools.lru_cache(maxsize=None)
    def version(self):
        if self.package:
            return importlib.metadata.version(self.package)
        if not self.program or not shutil.which(self.program):
            return "-"
        told = subprocess.run([self.program, *self.version_arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        found = re.search(r"\d+\.\d+[\w.]*", told.stdout + told.stderr)
        return found.group() if found else "?"

    def __hash__(self):
        return hash(self.name)

    def run(self, *arguments, timeout=60, **more):
        """Runs the program to its end; what it wrote is text."""
        if not self.program or not shutil.which(self.program):
            raise Unavailable(f"no {self.name} on this machine, and no package of it that could be installed")
        return subprocess.run([self.program, *map(str, arguments)], capture_output=True, timeout=timeout,
                              text=more.pop("text", True), stdin=more.pop("stdin", subprocess.DEVNULL), **more)


@dataclasses.dataclass
class Check:
    """One thing that must hold. `run(world)` raises if it does not; what it returns is a note for the reader."""

    tool: Tool
    title: str
    run: typing.Callable
    slow: bool
    part: bool
    module: str


_registered = []


def check(tool, title, slow=False, part=True):
    """Registers the function below as a check, in the order of the file. `slow`: takes minutes. Without `part` it is left
    out where only a part is run: it takes long, asks for a tool that is not installed for tests, or is
    known to fail."""
    def register(function):
        _registered.append(Check(tool, title, function, slow, part, function.__module__.removeprefix("checks_")))
        return function
    return register


def registered():
    return list(_registered)


def expect(held, *what):
    """Like `assert`, but never optimised away, and telling what was found instead."""
    if not held:
        raise AssertionError(" ".join(str(part) for part in what))
