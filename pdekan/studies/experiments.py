"""The experiments that `pdekan study` knows."""

from __future__ import annotations

from pdekan.studies import (
    continual_learning,
    grid_extension,
    mlp_or_kan,
    representation,
    special_functions,
    symbolic_regression,
)
from pdekan.studies.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    one.name: one
    for one in (
        special_functions.EXPERIMENT,
        continual_learning.EXPERIMENT,
        grid_extension.EXPERIMENT,
        representation.EXPERIMENT,
        symbolic_regression.EXPERIMENT,
        mlp_or_kan.EXPERIMENT,
    )
}
