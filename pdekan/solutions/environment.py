"""The environment of a training: what its result may depend on beside the problem."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import torch


def environment() -> dict[str, Any]:
    """Versions, threads and processor."""
    return {
        "pdekan": version("pdekan"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "system": platform.system(),
    }
