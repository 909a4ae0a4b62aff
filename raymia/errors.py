"""What can go wrong in a way that a user can mend. Each class carries the exit code of the
command line.
"""

_LONGEST = 3000  # characters of a line


def line(text: str) -> str:
    """`text` on one line, with nothing that a terminal would obey; a very long one without its
    middle.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class RaymiaError(Exception):
    """One line that says what was given, what is allowed, where, and what to do."""

    exit_code = 1


class SweepError(RaymiaError):
    """The sweep file, the data or the arguments are wrong; nothing was started."""

    exit_code = 2


class EnvironmentFault(RaymiaError):
    """The disk, the cluster, the authentication or the installed versions are in the way."""

    exit_code = 3


class Locked(RaymiaError):
    """Another process holds the results folder."""

    exit_code = 4
