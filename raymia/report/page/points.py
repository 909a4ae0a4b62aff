"""Every trial as the page shows it: its numbers, what was confirmed of it, what must be said."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from raymia.point import columns
from raymia.point.objectives import ACCURACY, AUC
from raymia.point.point import strength
from raymia.report import remarks
from raymia.report.page import runs, words
from raymia.results.row import Row, best
from raymia.results.tables import trial_line
from raymia.verdict import learning

PRIVATE = "dpsgd"  # the part with a guarantee, which is always marked


class Points:
    """The rows of a folder, and what the page asks of them again and again."""

    def __init__(self, rows: Sequence[Row], confirmed: Sequence[Row], means: bool = False):
        self.runs = sorted(rows, key=lambda row: row.trial)
        self.again = {row.digest: row for row in confirmed}
        self.rows, self.of = self.runs, dict[int, list[Row]]()
        if means:
            self.of = runs.together(self.runs)
            self.rows = [runs.mean(mine) for mine in self.of.values()]
            self.again = runs.confirmed(self.of, self.again)
        self.front = best(self.rows)
        self.on_front = {row.trial for row in self.front}
        self.metric = self.rows[0].objective if self.rows else AUC.column
        self.measure = words.measure(self.metric)
        lines = list(map(trial_line, self.rows))
        found = remarks.undefended(lines, self.metric)
        self.bare_line = found
        self.bare = next((r for r in self.rows if found and r.trial == found["trial"]), None)
        self.shown = [*self.front, *([self.bare] if self.bare and not self._is_front() else [])]
        # an arm's mark is by its name, so that the same arms look the same whatever came out
        names = sorted({row.defense for row in self.rows if row.defense != "none"})
        self.marks = {"none": 0} | {name: i + 1 for i, name in enumerate(names)}

    def _is_front(self) -> bool:
        return self.bare is not None and self.bare.trial in self.on_front

    @property
    def done(self) -> list[Row]:
        """Those with both numbers."""
        return [row for row in self.rows if None not in row.values]

    @property
    def useful(self) -> list[Row]:
        """Those that are more accurate than a constant answer."""
        return [row for row in self.done if not learning.useless(row.numbers)]

    def deciding(self, row: Row) -> Mapping[str, float | None]:
        """What was confirmed of a point, else its own numbers."""
        return self.again[row.digest].numbers if row.digest in self.again else row.numbers

    def remark(self, row: Row) -> str:
        shown = {one.trial for one in self.rows if one is not self.bare} | self.on_front
        said = remarks.remark(trial_line(row), self.bare_line, self.metric, shown)
        return said

    def cost(self, row: Row) -> float | None:
        """Points of accuracy (hundredths) less than without defense; both as they decide."""
        if self.bare is None or row.trial == self.bare.trial:
            return None
        own, bare = (self.deciding(one).get(ACCURACY.column) for one in (row, self.bare))
        return None if own is None or bare is None else round(100 * (bare - own), 6) + 0.0

    def option(self, row: Row) -> dict[str, Any]:
        """A point as `decision.answer` reads it."""
        numbers = self.deciding(row)
        accuracy, privacy = numbers[ACCURACY.column], numbers[self.metric]
        highest = words.highest(numbers, self.metric)
        return {
            "trial": row.trial,
            "bare": self.bare is not None and row.trial == self.bare.trial,
            "name": words.named(row),
            "accuracy": accuracy,
            "accuracy_text": words.number(accuracy),
            "privacy": privacy,
            "privacy_text": words.number(privacy),
            "highest": highest,
            "highest_text": words.number(highest),
            "cost": self._cost(row),
            "seeds": seeds(self.again.get(row.digest)),
        }

    def _cost(self, row: Row) -> str:
        cost = self.cost(row)
        if cost is None or self.bare is None:
            return ""
        said = f"; it {'costs' if cost >= 0 else 'gains'} {abs(cost):.1f} points of accuracy"
        ends = columns.ends(ACCURACY.column)
        own, bare = self.deciding(row), self.deciding(self.bare)
        low, high = (
            (bare if cost >= 0 else own).get(ends[0]),
            (own if cost >= 0 else bare).get(ends[1]),
        )
        near = low is not None and high is not None and high >= low
        return said + (" (within the intervals)" if near else "")

    def card(self, row: Row) -> list[tuple[str, str]]:
        """Label and text of everything that is known of a point and short."""
        again, numbers = self.again.get(row.digest), row.numbers
        cost = self.cost(row)
        facts = [
            ("test accuracy", words.interval(numbers, ACCURACY.column)),
            (self.measure, words.interval(numbers, self.metric)),
            ("at most", words.number(words.highest(numbers, self.metric))),
        ]
        if self.metric != AUC.column:
            facts.append((words.measure(AUC.column), words.interval(numbers, AUC.column)))
        if again:
            said = f"confirmed ({seeds(again)} fresh seeds)"
            facts += [
                (f"{said}: accuracy", words.interval(again.numbers, ACCURACY.column)),
                (f"{said}: {self.measure}", words.interval(again.numbers, self.metric)),
            ]
        facts += [
            ("points of accuracy lost", words.number(cost, 1)),
            ("strongest attack", row.worst_attack),
            ("train accuracy", words.interval(numbers, "train_accuracy")),
        ]
        facts += [
            (said, words.interval(numbers, name))
            for name, said in remarks.BESIDE.items()
            if name != self.metric
        ]
        facts += [
            ("epsilon", budget(row)),
            ("what the defense did", did(row)),
            ("judged records", sizes(row)),
            ("mean of trials", self._runs(row)),
            ("remark", self.remark(row)),
        ]
        return [(label, text) for label, text in facts if text]

    def _runs(self, row: Row) -> str:
        mine = self.of.get(row.trial, [])
        return ", ".join(str(one.trial) for one in mine) if len(mine) > 1 else ""

    def counted(self) -> str:
        """`24 trials: 22 done, 2 failed`"""
        states = Counter(row.state for row in self.runs)
        total = f"{len(self.runs)} trial{'s' * (len(self.runs) != 1)}"
        if len(self.rows) < len(self.runs):
            total += f" of {len(self.rows)} points"
        said = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
        return f"{total}: {said}" if said else "no trial has finished yet"


def seeds(again: Row | None) -> int | None:
    """With how many fresh seeds a point was confirmed; None where it was not."""
    return None if again is None else int(again.numbers.get("seeds") or 1)


def budget(row: Row) -> str:
    value = row.numbers.get("epsilon")
    return "" if value is None else columns.epsilon(value)


def did(row: Row) -> str:
    """`relaxloss: 58% relaxed`"""
    return "; ".join(
        f"{part}: {', '.join(f'{share:.0%} {what}' for what, share in done.items())}"
        for part, done in columns.did(row.numbers).items()
    )


def sizes(row: Row) -> str:
    if row.members is None or row.nonmembers is None:
        return ""
    targets = f" at each of {row.targets} targets" if row.targets > 1 else ""
    return f"{row.members} members, {row.nonmembers} others{targets}"


def line(points: Points, row: Row) -> list[str]:
    """The cells by which every table names a point."""
    return [str(row.trial), words.arm(row.defense), strength(row.knobs)]
