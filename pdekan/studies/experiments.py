"""The experiments that `pdekan study` knows."""

from __future__ import annotations

from pdekan.studies import continual_learning, mlp_or_kan, special_functions
from pdekan.studies.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    one.name: one for one in (continual_learning.EXPERIMENT, special_functions.EXPERIMENT, mlp_or_kan.EXPERIMENT)
}
