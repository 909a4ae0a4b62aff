"""The page as people see it: opened by Debian's Chromium, clicked, read by axe-core.

Needs chromium, chromedriver and selenium (`pip install -e '.[browser]'`), and for axe-core npm
with a registry (`AXE=path/to/axe.min.js` names a copy instead).
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_rows import ROOT, invoke
from test_beside import TEXT
from test_beside import folder as beside_rows

from raymia.records.data import load
from raymia.report import page
from raymia.report.page import data, decision
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.study import sweep
from raymia.trial.row import unfinished

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not shutil.which("chromedriver"), reason="chromedriver is not installed"),
]
ARMS = ["", "relaxloss: {}", "srcm: {}", "mmd: {}", "dpsgd: {}", "srcm: {}, relaxloss: {}"]
SMALL = """
name: large
dataset: {digits: {records: 240}}
network: mlp
protocol: {coin: {models: 8, targets: 4}}
defenses: [[%s]]
attacks: standard
"""


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart's folder, its first eight trials."""
    out = tmp_path_factory.mktemp("quickstart") / "qs"
    file = ROOT / "sweeps" / "quickstart.yaml"
    command = [sys.executable, "-m", "raymia.cli", "run", str(file), "--trials", "8"]
    subprocess.run([*command, "--out", str(out)], check=True, timeout=1800)
    return out


def drawn(trials: int) -> list[Row]:
    """Rows with points as a sweep has them, and numbers that nobody measured."""
    rng = np.random.default_rng(0)
    studies = [sweep.parse(SMALL % arm) for arm in ARMS]
    records = load(studies[0].dataset, 0)
    rows = []
    for i in range(trials):
        study = studies[i % len(ARMS)]
        point = study.point(0, study.default(0), i, records)
        accuracy, auc = 0.9 - 0.4 * rng.random() ** 2, 0.52 + 0.3 * rng.random()
        numbers = {f"{name}{end}": value + step
                   for name, value in (("test_accuracy", accuracy), ("max_attack_auc", auc))
                   for end, step in (("", 0.0), ("_lo", -0.03), ("_hi", 0.03))}  # fmt: skip
        numbers |= {"auc.lira": auc, "auc.loss": auc - 0.02, "majority": 0.1, "learned": 1.0}
        numbers |= {"max_auc_reference": 0.5 + auc / 10, "max_tpr_at_fpr_0.01": auc / 9}
        numbers |= {"epsilon": 3.25} if point.defense == "dpsgd" else {}
        row = unfinished(point, point.digest(), "done", "", 8, 4)
        worst = "rmia[mode=online,trim=0.2]"
        rows.append(replace(row, trial=i, numbers=numbers, worst_attack=worst))
    return rows


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 500 trials, a few of them confirmed."""
    folder = Folder(tmp_path_factory.mktemp("large") / "large")
    rows = drawn(500)
    for row in rows:
        folder.write(row)
    for row in data.said("large", rows, (), "", {}, ())["points"].front[:5]:
        folder.confirm(replace(row, numbers={**row.numbers, "seeds": 5.0}))
    page.write(folder)
    return Path(str(folder.path))


@pytest.fixture(params=["quickstart", "large"])
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


@contextlib.contextmanager
def opened(page: Path) -> Iterator[Any]:
    """A page, at 1280 x 900."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install -e '.[browser]'")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for option in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
                   "disable-background-networking", "disable-component-update", "disable-sync",
                   "window-size=1280,900"):  # fmt: skip
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver") or ""))
    try:
        driver.get(page.resolve().as_uri())
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(folder: Path) -> Iterator[Any]:
    with opened(folder / "report.html") as driver:
        yield driver


def sized(browser: Any, width: int, dark: bool = False, media: str = "screen") -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})


def said(browser: Any) -> list[str]:
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('#answer p')].map((p) => p.textContent)"
    )
    return found


def moved(browser: Any, **bars: float) -> list[str]:
    for name, value in bars.items():
        browser.execute_script(
            "const bar = document.getElementById(arguments[0]); bar.value = arguments[1];"
            "bar.dispatchEvent(new Event('input'))", name, str(value))  # fmt: skip
    return said(browser)


def test_it_opens_quietly_and_fast(browser: Any) -> None:
    assert browser.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [one["params"]["request"]["url"] for one in asked
            if one["method"] == "Network.requestWillBeSent"]  # fmt: skip
    assert [url for url in sent if not url.startswith("file:")] == [] and len(sent) == 1
    paint = browser.execute_async_script(
        "const done = arguments[0], name = 'first-contentful-paint', look = () => {"
        "const [one] = performance.getEntriesByName(name);"
        "one ? done(one.startTime) : requestAnimationFrame(look)}; look()"
    )
    assert paint < 2000  # milliseconds


def test_the_script_answers_as_python_does(browser: Any, folder: Path) -> None:
    kept = Folder(folder)
    whole = data.said("x", kept.rows(), kept.confirmed(), "", {}, ())
    seen = set()
    for most in np.arange(0.5, 1.0, 0.02).round(3).tolist():
        for least in (0.0, 0.6, 0.85, 0.93, 0.99):
            found = moved(browser, most=most, least=least)
            asked = decision.answer(whole["options"], whole["measure"], most, least)
            assert found == asked[0]
            seen.add(tuple(found))
            shown = browser.find_element("css selector", "#card h3").text
            assert shown.startswith(f"Trial {asked[1]}: ")
    assert len(seen) > 10


def test_a_click_shows_a_sweep_file_that_is_that_point(
    browser: Any, folder: Path, tmp_path: Path
) -> None:
    rows = {row.trial: row for row in Folder(folder).rows()}
    marks = browser.find_elements("css selector", "svg.wide .mark[tabindex]")
    assert len(marks) > 1
    for mark in marks[:3]:
        trial = int(mark.get_attribute("data-trial"))
        browser.execute_script(
            "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", mark
        )
        assert browser.find_element("css selector", "#card h3").text.startswith(f"Trial {trial}: ")
        file = tmp_path / f"{trial}.yaml"
        text = browser.find_element("id", "yaml").get_attribute("textContent")
        file.write_text(text)
        assert invoke("points", str(file)).exit_code == 0
        study = sweep.parse(text)
        point = study.point(0, {}, rows[trial].point["replicate"], load(study.dataset, 0))
        assert point.digest() == rows[trial].digest
    from selenium.webdriver.support.wait import WebDriverWait

    browser.find_element("id", "copy").click()
    WebDriverWait(browser, 10).until(lambda b: "copied" in b.find_element("id", "copied").text)


def test_what_is_declared_changes_what_it_means(browser: Any, folder: Path) -> None:
    def first() -> list[str]:
        cells = browser.find_elements("css selector", "#risk tbody tr:first-child td")
        return [cell.text for cell in cells]

    before = first()
    assert bool(before) == (folder.name == "qs")  # the other one kept no signals
    if before:
        moved(browser, prior=0.5)
        assert first()[:3] == before[:3] and first()[4] != before[4]


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut(browser: Any, width: int) -> None:
    sized(browser, width)
    wide = browser.execute_script("return document.scrollingElement.scrollWidth")
    assert wide <= width
    letters = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('svg text')]"
        ".map((one) => one.getBoundingClientRect().height).filter((height) => height))"
    )
    assert letters >= 10


def test_nothing_is_cut_on_paper(browser: Any) -> None:
    sized(browser, 688, media="print")  # A4 less its margins, in CSS pixels
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 688


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    if given := os.environ.get("AXE"):
        return Path(given).read_text()
    where = tmp_path_factory.mktemp("axe")
    command = ["npm", "install", "--silent", "--prefix", str(where), "axe-core@4"]
    if not shutil.which("npm") or subprocess.run(command, timeout=300).returncode:
        pytest.skip("npm could not install axe-core")
    return (where / "node_modules/axe-core/axe.min.js").read_text()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_axe_finds_nothing_serious(browser: Any, axe: str, width: int, dark: bool) -> None:
    sized(browser, width, dark)
    no_grave_finding(browser, axe)


def no_grave_finding(browser: Any, axe: str) -> None:
    browser.execute_script(axe)
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run().then((r) => done(r.violations.map((v) =>"
        "[v.impact, v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200))])))"
    )
    grave = [one for one in found if one[0] in ("serious", "critical")]
    assert not grave, json.dumps(grave, indent=1)


def test_two_folders_on_one_page(tmp_path: Path, axe: str) -> None:
    """No script, nothing asked for, nothing cut at any width, nothing that a reader trips over."""
    attacks = "attacks: [baseline, loss, lira, rmia, entropy, modified_entropy, population]"
    a = beside_rows(tmp_path / "a", [(0, 0, 0.9, 0.7), (1, 0.5, 0.8, 0.6), (1, 1.0, 0.7, 0.55)])
    b = beside_rows(tmp_path / "b", [(0, 0, 0.8, 0.7), (1, 1.0, 0.75, 0.5), (2, 0, 0.6, 0.6)],
                    TEXT.replace("attacks: [baseline, loss]", attacks))  # fmt: skip
    page = tmp_path / "pair.html"
    done = invoke("compare", str(a.path), str(b.path), "--page", str(page))
    assert done.exit_code == 0, done.output
    with opened(page) as browser:
        assert browser.get_log("browser") == []
        sized(browser, 688, media="print")  # A4 less its margins, in CSS pixels
        assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 688
        for width, dark in ((1280, False), (1280, True), (390, False)):
            sized(browser, width, dark)
            assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width
            no_grave_finding(browser, axe)
