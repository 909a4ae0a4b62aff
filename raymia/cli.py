"""The command line: which commands there are, and how what goes wrong becomes one line and an
exit code.
"""

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import click

from raymia.errors import EnvironmentFault, RaymiaError, SweepError, line

# command -> where it stands; only the one that is called is imported
COMMANDS = {
    "run": "raymia.cluster.commands:run",
    "points": "raymia.study.commands:points",
    "pareto": "raymia.report.pareto:pareto",
    "report": "raymia.report.commands:report",
    "watch": "raymia.report.watch:watch",
    "compare": "raymia.report.comparing:command",
    "confirm": "raymia.cluster.commands:confirm",
    "gate": "raymia.report.commands:gate",
    "scores": "raymia.report.commands:scores",
    "export": "raymia.report.commands:export",
    "audit": "raymia.report.audit_command:command",
    "deploy": "raymia.report.deploy:deploy",
    "schema": "raymia.study.commands:schema",
    "list": "raymia.study.commands:list_",
    "cite": "raymia.study.commands:cite",
    "doctor": "raymia.cluster.commands:doctor",
}


class _Raymia(click.Group):
    """Finds commands when they are asked for, and turns what went wrong into one line and an
    exit code.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        extra["standalone_mode"] = False
        try:
            with _terminable():
                sys.exit(super().main(*args, **extra) or 0)
        except _Terminated:
            _refuse("terminated", 143)
        except RaymiaError as error:
            _refuse(str(error), error.exit_code)
        except click.ClickException as error:
            of = getattr(error, "ctx", None)
            see = f"; see {of.command_path} --help" if of else ""
            _refuse(f"{error.format_message()}{see}", SweepError.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo("raymia: interrupted", err=True)
            sys.exit(130)
        except BrokenPipeError:  # `raymia points x.yaml | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:  # of a place that no other word was found for
            where = "" if error.filename is None else f"{error.filename}: "
            _refuse(f"{where}{error.strerror or error}", EnvironmentFault.exit_code)


class _Terminated(BaseException):
    """SIGTERM came, and nobody below has a use for it."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """What is being written is put away, and the exit code is 143, from here to the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refuse(said: str, code: int) -> None:
    click.echo(f"raymia: {line(said)}", err=True)
    sys.exit(code)


@click.group(cls=_Raymia, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="raymia")
def main() -> None:
    """Which membership-inference defense, at which strength, costs the least accuracy for the
    privacy that you need?

    Exit codes: 0 done; 1 finished, but some trials failed, or a gate not met;
    2 bad sweep, data or arguments, nothing started; 3 environment;
    4 another process holds the results folder; 130 interrupted; 143 terminated.
    """


if __name__ == "__main__":
    main()
