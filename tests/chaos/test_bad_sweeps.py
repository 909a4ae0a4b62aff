"""Two hundred sweep files that are wrong, each refused in one line that names file, line and key
before anything is started; and whatever becomes of a good one, it is answered.
"""

import re
import time
from pathlib import Path

import pytest
from bad_files import FILES, GOOD
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_folder import CODES, Started, call, refused

SWEEPS = Path(__file__).parents[2] / "sweeps"


def test_there_are_two_hundred() -> None:
    assert len({GOOD.replace(old, new) for old, new, _ in FILES}) == len(FILES) >= 200
    assert all(GOOD.count(old) == 1 for old, _, _ in FILES)


def test_the_good_one_is_good(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(GOOD)
    assert isinstance(call("run", str(tmp_path / "x.yaml")).exception, Started)


@pytest.mark.parametrize(("old", "new", "key"), FILES, ids=[repr(new)[1:41] for _, new, _ in FILES])
def test_a_bad_file_is_refused_by_file_line_and_key(
    old: str, new: str, key: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(GOOD.replace(old, new))
    said = refused(call("run", str(file)))
    first = GOOD[: GOOD.index(old)].count("\n") + 1
    found = re.match(rf"raymia: {re.escape(str(file))}:(\d+): (.*)", said)
    assert found, said
    if key:  # else it is no YAML, or a key that there is none of
        assert found[2].startswith(key) and int(found[1]) == first, said
    else:
        assert abs(int(found[1]) - first) <= 1 or "not YAML" in said or "given" in said, said


# ---- whatever becomes of a good one ------------------------------------------------------------

_TEXTS = [GOOD, *(path.read_text() for path in sorted(SWEEPS.glob("*.yaml")))]
_TOKENS = re.compile(r"[\w.+-]+|[^\w\s]|\n *")
_BITS = [
    "null",
    "[]",
    "{}",
    "''",
    "1e99",
    "-1",
    "0",
    "\t",
    "\0",
    "&a",
    "*a",
    "!!x",
    "%",
    "\x85",
    "é",
]
_BITS += [
    "low",
    "high",
    "search",
    "standard",
    "all",
    "none",
    "---",
    "...",
    "?",
    ": ",
    "- ",
    "#",
    '"',
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good sweep file with one to four of its words cut out, doubled, swapped or replaced."""
    words = _TOKENS.findall(text := draw(st.sampled_from(_TEXTS)))
    marks = _TOKENS.split(text)
    for _ in range(draw(st.integers(1, 4))):
        i = draw(st.integers(0, len(words) - 1))
        how = draw(st.sampled_from(["out", "twice", "swap", "word", "bit", "text"]))
        j = draw(st.integers(0, len(words) - 1))
        words[i] = {
            "out": "",
            "twice": words[i] * 2,
            "swap": words[j],
            "word": words[j] + words[i],
            "bit": draw(st.sampled_from(_BITS)),
            "text": draw(st.text(max_size=4)),
        }[how]
    made = "".join(a + b for a, b in zip(marks, [*words, ""], strict=True))
    return made[: draw(st.integers(0, len(made)))] if draw(st.booleans()) else made


def answered(text: str, file: Path) -> None:
    file.write_bytes(text.encode(errors="surrogatepass"))
    result = call("run", str(file))
    if not isinstance(result.exception, Started):
        assert result.exit_code in CODES - {0, 1}, result.exc_info
        assert str(file) in refused(result, result.exit_code)


_WALK = dict(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@settings(max_examples=60, **_WALK)
@given(text=mutated())
def test_whatever_becomes_of_a_file_is_answered(text: str, tmp_path_factory: object) -> None:
    answered(text, _file(tmp_path_factory))


@pytest.mark.nightly
@settings(max_examples=10_000, **_WALK)
@given(text=mutated())
def test_ten_thousand_are_answered_in_two_seconds_each(text: str, tmp_path_factory: object) -> None:
    begun = time.process_time()
    answered(text, _file(tmp_path_factory))
    assert time.process_time() - begun <= 2.0


def _file(factory: object) -> Path:
    assert isinstance(factory, pytest.TempPathFactory)
    return factory.getbasetemp() / "mutated.yaml"
