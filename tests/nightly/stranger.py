"""A stranger's path, timed: a fresh clone, the table and the commands of docs/tutorial.md, and a
prediction by the code of the model's own card, without raymia. Exits 1 where one of them fails, or
where they take more than seven commands or ten minutes.

python tests/nightly/stranger.py [FOLDER]     a new folder, by default a temporary one
"""

import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS, SECONDS = 7, 600


def block(text: str, language: str) -> str:
    """The first block of a page in a language."""
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"no block of {language}"
    return found[1]


def main(folder: Path) -> int:
    clone = folder / "raymia"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    page = (clone / "docs" / "tutorial.md").read_text()
    asked = [
        line for line in page.splitlines() if re.match(r"make install$|raymia [a-z]+ [a-z]", line)
    ]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"PATH": f"{clone}/.venv/bin:{environment['PATH']}", "HOME": str(folder)}
    spent: list[tuple[str, float]] = []

    def do(*command: str, where: Path = clone) -> None:
        print(f"$ {' '.join(command)}", flush=True)
        begin = time.monotonic()
        subprocess.run(command, cwd=where, env=environment, check=True)
        spent.append((" ".join(command), time.monotonic() - begin))

    (clone / "people.yaml").write_text(block(page, "yaml"))
    for line in asked:
        do(*line.split())
        if line == "make install":  # which brings what makes the table
            table = block(page, "python")
            subprocess.run([f"{clone}/.venv/bin/python", "-c", table], cwd=clone, check=True)
    (deployed,) = clone.glob("deployed-*")
    with open(clone / "people.csv") as old, open(deployed / "new.csv", "w") as new:
        csv.writer(new).writerows(line[:-1] for line in csv.reader(old))
    (deployed / "predict.py").write_text(block((deployed / "README.md").read_text(), "python"))
    do("python", "predict.py", where=deployed)
    print("\n| command | seconds |\n|---|---|")
    for command, seconds in spent:
        print(f"| `{command}` | {seconds:.0f} |")
    total = sum(seconds for _, seconds in spent)
    print(f"{len(spent)} commands, {total:.0f} s")
    return int(len(spent) > COMMANDS or total > SECONDS)


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(main(Path(sys.argv[1]).resolve()))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
