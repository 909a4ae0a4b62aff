"""A page as PDF, by a browser that is installed: nothing else sets HTML as its script shows it."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from raymia.errors import EnvironmentFault

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120
# no window, no network of its own
OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-pdf-header-footer",
)


def write(page: Path) -> Path:
    """`report.pdf` beside a report.html, on A4. Raises EnvironmentFault where no browser is
    installed, or the one that is does not print.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise EnvironmentFault(
            f"--pdf: a browser prints the page, and none of {', '.join(BROWSERS)} is installed; "
            f"install chromium, or print {page} from any browser"
        )
    out = page.with_suffix(".pdf")
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / out.name
        command = [found, *OPTIONS, f"--user-data-dir={scratch}/profile", f"--print-to-pdf={made}"]
        # a container's root has no sandbox; the page is our own, and reaches nothing
        command += ["--no-sandbox", page.resolve().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFault(f"--pdf: {found} did not print the page ({error})") from None
        if not made.is_file():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise EnvironmentFault(f"--pdf: {found} did not print the page ({last})")
        shutil.move(made, out)
    return out
