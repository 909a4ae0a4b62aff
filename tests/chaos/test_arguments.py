"""Whatever is given to a command, it answers: an exit code of the contract, and no traceback."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from tiny_folder import CODES, TEXT, Started, call, make, refused

from raymia import cli

GOOD = {
    "sweep": "good.yaml",
    "folder": "tiny",
    "kind": "attacks",
    "number": "0",
    "trial": "0",
    "tool": "parquet",
    "max_auc": "0.9",
}
NO_PATH = ["", " ", "-", "--", "a\0b", "x" * 5000, "~nouser", "~nouser/x", "a\nb", "\u202ecba"]
NO_PATH += ["http://h/x", "ftp://a/b", "s3:/x", "https:/h", "\x1b[2J", "\udc80x", "a/" + "é" * 130]
NO_FOLDER = ["/", "//", "/tmp/..", "s3://", "gs:///", "file:///", "nope://x/y"]
ODD = [*NO_PATH, "/proc/self/mem", "/dev/zero", "/dev/null", "pipe", "..", "nul", "None", "-1"]
ODD += [
    "1e999",
    "nan",
    "0x10",
    "9" * 400,
    "=1+1",
    "a.b=c\nd",
    "search.trials=1\nname: x",
    "[",
    "{}",
]


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder: a good sweep file, a finished folder, a named pipe."""
    here = Path.cwd()
    root = tmp_path_factory.mktemp("place")
    os.chdir(root)
    Path("good.yaml").write_text(TEXT)
    make(Path("tiny"))
    os.mkfifo("pipe")
    yield root
    os.chdir(here)


def commands() -> dict[str, click.Command]:
    context = click.Context(cli.main)
    found = {name: cli.main.get_command(context, name) for name in cli.COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


def spelled(param: click.Parameter, value: str | None) -> list[str]:
    """A parameter as the command line has it: an odd value may look like an option."""
    if isinstance(param, click.Argument):
        return ["--", value or ""]
    flag = param.opts[0]
    return [flag] if getattr(param, "is_flag", False) else [f"{flag}={value}"]


def asked(name: str, command: click.Command, odd: str, value: str) -> list[str]:
    """A call whose parameter `odd` has the value, and what must be given is good."""
    options, last = [name], list[str]()
    for param in command.params:
        given = value if param.name == odd else GOOD.get(param.name or "")
        needed = param.required or param.name == odd or (name, param.name) == ("gate", "max_auc")
        if needed and isinstance(param, click.Argument):
            last += spelled(param, given)[len(last[:1]) :]  # one "--" before all of them
        elif needed:
            options += spelled(param, given)
    return [*options, *last]


def every(kinds: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """(command, parameter) of the whole command line; with `kinds`, of the types named so."""
    return [
        (name, str(param.name))
        for name, command in commands().items()
        for param in command.params
        if not kinds or param.type.name in kinds
    ]


def test_the_walk_meets_every_command() -> None:
    assert {name for name, _ in every()} == {*cli.COMMANDS} - {"schema"}  # which takes nothing
    assert ("run", "out") in every(("DIR",)) and ("points", "sweep") in every(("PATH",))


def answered(name: str, param: str, values: Sequence[str]) -> None:
    command = commands()[name]
    flag = any(p.name == param and getattr(p, "is_flag", False) for p in command.params)
    for value in values[:1] if flag else values:
        result = call(*asked(name, command, param, value))
        if isinstance(result.exception, Started):  # the argument was right
            continue
        told = (value, result.exc_info)
        assert result.exception is None or isinstance(result.exception, SystemExit), told
        assert result.exit_code in CODES and "Traceback" not in result.output, told
        if result.exit_code > 1:
            refused(result, result.exit_code)


# doctor looks at this machine for seconds: what it is given is refused before, or is a folder
WALK = [one for one in every() if one[0] != "doctor"]


@pytest.mark.parametrize(("name", "param"), WALK)
def test_whatever_is_given_is_answered(name: str, param: str) -> None:
    answered(name, param, random.Random(f"{name} {param}").sample(ODD, 6))


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "param"), WALK)
def test_all_that_can_be_given_is_answered(name: str, param: str) -> None:
    answered(name, param, ODD)


@pytest.mark.parametrize(("name", "param"), every(("DIR", "PATH")))
def test_what_is_no_path_is_refused_before_anything(name: str, param: str) -> None:
    command = commands()[name]
    folder = next(p for p in command.params if p.name == param).type.name == "DIR"
    for value in [*NO_PATH, *NO_FOLDER * folder]:
        said = refused(call(*asked(name, command, param, value)))
        assert "allowed" in said or "expanded" in said or "names a bucket" in said, said
    assert not Path("http:").exists() and not Path("~nouser").exists()


@pytest.mark.parametrize("arguments", [["pipe"], ["/dev/zero"], ["tiny"], ["good.yaml/x"]])
def test_a_sweep_file_is_a_plain_file(arguments: list[str]) -> None:
    for name in ("points", "run", "cite"):
        assert "cannot be read" in refused(call(name, *arguments))


@pytest.mark.parametrize(
    "arguments",
    [[], ["nope"], ["--nope"], ["pareto"], ["pareto", "a", "b"], ["gate", "tiny"], ["schema", "x"]],
)
def test_usage_is_one_line_that_says_where_to_look(arguments: list[str]) -> None:
    result = call(*arguments)
    if arguments:
        assert "--help" in refused(result)
    else:
        assert "Exit codes" in result.output


def test_an_empty_name_is_no_default() -> None:
    given = ["scores", "tiny", "--trial", "0", "--records", "--attack"]
    assert call(*given, "loss").exit_code == 0
    assert "has no ''" in refused(call(*given, ""))


def test_the_same_from_outside(place: Path) -> None:
    """The process itself: a pipe is not waited for, and what Python says stays inside."""
    for arguments, code in (
        (["points", "pipe"], 2),
        (["run", "good.yaml", "--out", "http://h/x"], 2),
        (["pareto", "tiny", "--max-auc", "x"], 2),
        (["report", "/dev/null/x"], 2),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "raymia.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
        )
        assert done.returncode == code, done.stderr
        assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
