"""One computing thread a process, as in a run: the numbers do not depend on the machine's cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
