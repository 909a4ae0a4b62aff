"""Tables on stdout, and what must be seen before them on stderr."""

import os
from collections.abc import Iterable, Sequence

import click


def warn(text: str) -> None:
    """What must be seen before any number; nothing where there is nothing to say."""
    if text:
        click.echo(text if os.environ.get("NO_COLOR") else click.style(text, fg="red"), err=True)


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under their headings; columns that are empty in every row are left out."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    used = [i for i in range(len(names)) if any(row[i] for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i in used:
        table.add_column(names[i], overflow="fold")
    for row in rows:
        table.add_row(*(row[i] for i in used))
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:  # a log has no width
        console = Console(markup=False, highlight=False, emoji=False, width=max(160, console.width))
    console.print(table)
