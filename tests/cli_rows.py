"""A results folder for the tests of the command line, and how a command is called."""

from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from raymia import cli
from raymia.results.row import Row

ROOT = Path(__file__).parents[1]
QUICKSTART = str(ROOT / "sweeps" / "quickstart.yaml")
TRIALS = """\
trial,digest,state,reason,defense,relaxloss.alpha,srcm.d,srcm.all_on,seed,test_accuracy,test_accuracy_lo,\
test_accuracy_hi,max_attack_auc,max_attack_auc_lo,max_attack_auc_hi,worst_attack,auc.loss,auc.lira,epsilon
0,aaaaaaaa,done,,none,,,,0,0.9,0.88,0.92,0.7,0.68,0.72,lira,0.6,0.7,
1,bbbbbbbb,done,,relaxloss,0.5,,,0,0.85,0.83,0.87,0.6,0.58,0.62,loss,0.6,0.55,
2,cccccccc,done,,srcm,,1,true,0,0.8,0.78,0.82,0.52,0.5,0.54,loss,0.52,0.51,3.25
3,dddddddd,done,,srcm,,2,false,0,0.7,0.68,0.72,0.65,0.63,0.67,loss,0.65,0.5,
4,eeeeeeee,failed,out of memory,none,,,,0,,,,,,,,,,
"""


def row(trial: int, defense: str, accuracy: float, auc: float, **knobs: Any) -> Row:
    numbers: dict[str, float | None] = {"test_accuracy": accuracy, "max_attack_auc": auc}
    named = {key.replace("_", ".", 1): value for key, value in knobs.items()}
    return Row(
        trial,
        f"{trial:064x}",
        "",
        "done",
        "",
        {},
        "digits",
        "mlp",
        defense,
        named,
        0,
        8,
        4,
        numbers=numbers,
    )


ROWS = [
    row(0, "none", 0.9, 0.7),
    row(1, "relaxloss", 0.8, 0.6, relaxloss_alpha=0.5),
    row(2, "srcm", 0.7, 0.65),
]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments))
