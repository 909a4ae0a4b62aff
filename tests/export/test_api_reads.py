"""A finished folder from Python: the numbers of the CSVs, as data frames."""

from pathlib import Path

import pandas as pd
from click.testing import CliRunner
from exported import lines

import raymia
from raymia import cli


def test_frames_are_the_tables(folder: Path) -> None:
    run = raymia.open(folder)
    assert run.sweep.name == "away"
    for frame, name in ((run.trials, "trials.csv"), (run.attacks, "attacks.csv")):
        written = lines(folder, name)
        assert len(frame) == len(written) and "trial" in frame
        assert frame["trial"].astype(str).tolist() == [line["trial"] for line in written]
    assert run.trials["test_accuracy"].dtype == "float64"
    assert run.trials["trial"].dtype == "int64" and run.trials["reason"].dtype == "str"
    assert run.trials["relaxloss.alpha"].isna().any()
    assert run.front["digest"].tolist() == [line["digest"] for line in lines(folder, "pareto.csv")]


def test_a_query_is_the_commands(folder: Path) -> None:
    run = raymia.open(str(folder))
    asked = ["pareto", str(folder), "--csv", "--all", "--where", "defense=relaxloss"]
    said = CliRunner().invoke(cli.main, asked).stdout.splitlines()
    found = run.query(where={"defense": "relaxloss"}, every=True)
    assert len(found) == len(said) - 1 > 1
    assert isinstance(found, pd.DataFrame) and "<table" in run._repr_html_()


def test_the_picture_is_shown_as_one(folder: Path) -> None:
    picture = raymia.open(folder).plot()
    assert picture._repr_svg_().startswith("<svg") and picture == raymia.open(folder).plot()
