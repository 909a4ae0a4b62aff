"""One computing thread a process, as in a run: the numbers do not depend on the machine's cores."""

import os

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
settings.register_profile("raymia", deadline=None)  # shared machines are slow at times
settings.load_profile("raymia")
