"""What raymia stands on: a list of it (SBOM), and whether a weakness of any of it is known.

`python tests/nightly/dependencies.py TOOLS OUT`: TOOLS is the folder with `pip-audit` and
`cyclonedx-py`, OUT the folder for `sbom.json` and `audit.json`. Exit 1 where a weakness is known.
Where the service cannot be asked it says so, and does not fail: nothing is known then.
"""

import json
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).parents[2] / "constraints.txt"


def verdict(answer: str, complaint: str) -> tuple[int, list[str]]:
    """(exit code, lines) from what `pip-audit --format json` said on stdout and on stderr."""
    try:
        found = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (complaint.strip().splitlines() or ["no answer"])[-1]
        return 0, [f"NOT AUDITED: the service cannot be asked: {last[:200]}"]
    # one that the service does not know is skipped, and pip-audit calls that no weakness
    known = [one for one in found if "skip_reason" not in one]
    weak = [
        f"{one['name']} {one['version']}: {bad['id']}, mended in "
        f"{', '.join(bad['fix_versions']) or 'no version'}"
        for one in known
        for bad in one["vulns"]
    ]
    if not known:
        return 0, [f"NOT AUDITED: the service knows none of {len(found)} packages from here"]
    skipped = f"; {len(found) - len(known)} not known to the service" * (len(known) < len(found))
    return int(bool(weak)), [f"{len(known)} packages audited, {len(weak)} weak{skipped}", *weak]


def main(tools: Path, out: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    bill = out / "sbom.json"
    listed = [tools / "cyclonedx-py", "requirements", PINS, "--output-file", bill]
    subprocess.run(listed, check=True)
    parts = json.loads(bill.read_text())["components"]
    asked = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(
        [tools / "pip-audit", "--requirement", PINS, *asked], capture_output=True, text=True
    )
    (out / "audit.json").write_text(done.stdout)
    code, lines = verdict(done.stdout, done.stderr)
    print(f"SBOM: {len(parts)} packages in {bill}", *lines, sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
