"""Problems that are ill-posed by the type of their equations and the faces that have conditions, in words.

Backward diffusion, Cauchy data of an elliptic equation, and both ends of time of a wave (Hadamard, Lectures on Cauchy's
Problem, Yale 1923, book I): the effect of perturbations of the data, however small, has no bound, and a small residual proves
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pdekan.cells.rows import tensors
from pdekan.fields.jets import TIME
from pdekan.problems.problem import Problem
from pdekan.training.posedness.uniqueness import START, faces_with_conditions, slopes

END = TIME + "+"
DEFINITE = 1e-9  # the least eigenvalue of a definite matrix, relative to the largest


def ill_posed(problem: Problem) -> Iterator[str]:
    """What makes a problem ill-posed, unknown by unknown, by each equation that has its second derivatives."""
    for name in problem.unknowns if problem.equations else ():
        faces = faces_with_conditions(problem, name)
        bare = [face for face in problem.domain.faces if face not in faces]
        for slope in slopes(problem, name):
            assert slope.gradient is not None
            assert slope.second is not None
            second_order = slope.higher is None or not bool(slope.higher.any())
            if second_order and bool((slope.second != 0.0).any()):
                words = _words(problem, name, faces, bare, slope.gradient, tensors(slope.frame, slope.second))
                yield from [] if words is None else [words]


def _words(problem: Problem, name: str, faces: list[str], bare: list[str], gradient: Tensor, second: Tensor) -> str | None:
    """The fault of one equation. gradient, second: its derivatives ``(n, d)``, ``(n, d, d)`` by those of the unknown."""
    coordinates = problem.domain.coordinates
    if _is_definite(second):
        twice = next((face for face in faces if faces.count(face) > 1), None)
        if len(coordinates) > 1 and twice is not None and bare:
            return (
                f"values and slopes of {name} are stated on {twice}, and nothing on {', '.join(bare[:4])}: Cauchy data of an "
                "elliptic equation, whose errors grow without bound; state one condition on every face"
            )
        return None
    if TIME not in coordinates:
        return None
    t, space = coordinates.index(TIME), [k for k, one in enumerate(coordinates) if one != TIME]
    diffusion = second.diagonal(dim1=1, dim2=2)[:, space]
    if bool((second[:, t, t] != 0.0).any()):
        is_wave = bool((second[:, t, t, None] * diffusion <= 0.0).all())
        if is_wave and END in faces:
            return f"{name} is stated at both ends of time, of a wave, which its values and velocities on {START} determine"
        return None
    signs = gradient[:, t, None] * diffusion
    from_end, from_start = bool((signs <= 0.0).all()), bool((signs >= 0.0).all())  # of the two, the way that blows up
    if from_end != from_start and ((from_end and END in faces and START in bare) or (from_start and END in bare)):
        stated, wanted = (END, START) if from_end else (START, END)
        return (
            f"diffusion of {name} is followed backward in time, from its values on {stated}: high frequencies grow without "
            f"bound, and a small residual says nothing; state its values on {wanted}"
        )
    return None


def _is_definite(matrices: Tensor) -> bool:
    """Whether all of some symmetric matrices ``(n, d, d)`` are positive, or negative, definite."""
    sizes = torch.linalg.eigvalsh(matrices)
    least = DEFINITE * sizes.abs().amax(dim=1, keepdim=True)
    return bool((sizes > least).all()) or bool((sizes < -least).all())
