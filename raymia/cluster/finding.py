"""One line of what `raymia doctor` finds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the table. `state`: ok, note (worth knowing), or bad (raymia would not run
    well, or not safely).
    """

    what: str
    found: str
    state: str = "ok"
    advice: str = ""

    def line(self) -> list[str]:
        return [self.what, self.found, "" if self.state == "ok" else self.state, self.advice]
