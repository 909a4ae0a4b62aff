"""Small defenses and attacks for tests of sweep files, and a file that uses them."""

from typing import Any

import pytest

from raymia.errors import SweepError
from raymia.study import sweep

PLUGINS = {
    "defenses/soft.py": """
        from dataclasses import dataclass
        from typing import Annotated
        from raymia.training.defense import Defense
        from raymia.point.space import Choice, Range
        @dataclass(frozen=True)
        class Soft(Defense):
            "Knobs of every type."
            alpha: Annotated[float, Range(0.0, 2.0, least=0.0)] = 1
            steps: Annotated[int, Range(1, 9, least=1, most=20)] = 3
            mode: Annotated[str, Choice(("near", "far"))] = "near"
            hard: bool = False
            plain: float = 0.5
            label: str = "1e-3"
        """,
    "defenses/swap.py": """
        from dataclasses import dataclass
        from raymia.training.defense import Defense
        @dataclass(frozen=True)
        class Swap(Defense):
            "Owns the criterion, as trade does."
            revision = 3
            low: float = 0.0
            high: float = 1.0
            def __post_init__(self):
                if self.low > self.high:
                    raise ValueError("low <= high is allowed")
            def criterion(self, outputs, batch, clock):
                return None
        """,
    "defenses/trade.py": """
        from dataclasses import dataclass
        from raymia.training.defense import Defense
        @dataclass(frozen=True)
        class Trade(Defense):
            "Needs its strength."
            strength: int
            def criterion(self, outputs, batch, clock):
                return None
        """,
    "defenses/kept.py": """
        from dataclasses import dataclass
        from raymia.training.defense import Defense, Traits
        @dataclass(frozen=True)
        class Kept(Defense):
            "Wants the defender's reference."
            def traits(self):
                return Traits(beside="uniform")
        """,
    "defenses/narrow.py": """
        from dataclasses import dataclass
        from typing import Annotated
        from raymia.training.defense import Defense
        from raymia.point.space import Range
        @dataclass(frozen=True)
        class Narrow(Defense):
            "Says what it allows in code."
            wide: Annotated[int, Range(1, 4)] = 2
            soft: float = 0.0
            def __post_init__(self):
                if self.wide > 5:
                    raise ValueError(f"wide: got {self.wide}; at most 5 is allowed")
        """,
    "attacks/cheap.py": """
        from dataclasses import dataclass
        from typing import ClassVar
        from raymia.attack.attack import Attack
        @dataclass(frozen=True)
        class Cheap(Attack):
            "Always applies."
            standard: ClassVar[bool] = True
            mode: str = "a"
        """,
    "attacks/online.py": """
        from dataclasses import dataclass
        from typing import ClassVar
        from raymia.attack.attack import Attack, Traits
        @dataclass(frozen=True)
        class Online(Attack):
            "Needs shadows that train on the record."
            standard: ClassVar[bool] = True
            def traits(self):
                return Traits(wants={"in_shadows"})
        """,
    "attacks/crowd.py": """
        from dataclasses import dataclass
        from typing import ClassVar
        from raymia.attack.attack import Attack, Traits
        @dataclass(frozen=True)
        class Crowd(Attack):
            "Needs a population; not standard."
            def traits(self):
                return Traits(wants={"population"})
        """,
    "attacks/flips.py": """
        from dataclasses import dataclass
        from typing import ClassVar
        from raymia.attack.attack import Attack, Traits
        @dataclass(frozen=True)
        class Flips(Attack):
            "Needs images; not standard."
            def traits(self):
                return Traits(wants={"images"})
        """,
}

GOOD = """\
name: study
dataset: {digits: {records: 100}}
network: mlp
protocol: {coin: {models: 8, targets: 4}}
defenses:
  - []
  - [soft: {alpha: {low: 0.1, high: 1e1, log: true}, steps: [2, 4], mode: far}]
  - [soft, swap: {low: 0.25}]
  - - soft: {alpha: 1}
      trade: {strength: 2}
attacks: standard
attacker: adaptive
training:
  epochs: 5
  lr: 1e-3
  lanes: auto
search:
  trials: 10
  seed: 0
resources:
  cpu: 1
  gpu: 0
"""


class Hash:
    """Stands in for Data: a point asks it for its hash and length alone."""

    def __len__(self) -> int:
        return 1797

    def sha256(self) -> str:
        return "ab" * 32


DATA: Any = Hash()


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, f"{old!r} must stand once in GOOD"
    return GOOD.replace(old, new)


def message(text: str, *overrides: str) -> str:
    with pytest.raises(SweepError) as caught:
        sweep.parse(text, "x.yaml", overrides)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()
    return str(caught.value)
