"""One thread a process, here and in the processes that tests start: tests run side by side, and arrays are small."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is first imported, hence before it
