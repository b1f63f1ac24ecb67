"""Smallest eigenvalues of an elliptic operator by finite elements: how much of a function its energy controls."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

import numpy as np
from scipy.sparse import csc_array
from scipy.sparse.linalg import eigsh
from skfem import BilinearForm

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fem.meshes import fitted_mesh
from pdekan.fem.spaces import LagrangeSpace, facet_mass

DEGREE, MESH = 3, 1  # of the elements, and which mesh of the sequence
Inside = Callable[[Array], tuple[Array, Array]]  # A (n, d, d) and c (n,) at points (n, d)
OnFace = Callable[[str, Quadrature], Array]  # α (n,) at points with normals


def smallest_eigenvalues(domain: Domain, inside: Inside, robin: OnFace, essential: Collection[str]) -> tuple[float, float]:
    """The least E(w) / ∫ w² and (E(w) + ∫ c w²) / ∮ w² with E(w) = ∫ A∇w · ∇w + ∮ α w².

    w vanishes on the essential faces; the boundary integrals are over the others. The first one is zero where no face is
    essential and α vanishes. Finite elements give upper bounds, whose errors fall as h^6. Raises ProblemError for a domain
    without meshes.
    """
    fit = fitted_mesh(domain, {face: face in essential for face in domain.faces})
    space = LagrangeSpace.on_mesh(next(islice(fit.refinements(DEGREE), MESH, None)), fit, DEGREE)
    stiff, reactive, mass = _inside(space, inside)
    nodes, names = space.boundary[1], space.face_names(fit)
    trace = absorbing = csc_array(stiff.shape)
    for face in dict.fromkeys(name for name in names.tolist() if name not in essential):
        rows = np.flatnonzero(names == face)
        value, points, normals, weights = space.facet_quadrature(rows)
        d = points.shape[2]
        alpha = robin(face, Quadrature(points.reshape(-1, d), weights.ravel(), normals.reshape(-1, d)))
        weights = weights.reshape(len(rows), -1)
        absorbed = weights * alpha.reshape(weights.shape)
        trace = trace + csc_array(facet_mass(nodes[rows], weights, value, space.dofs.N))
        if absorbed.any():
            absorbing = absorbing + csc_array(facet_mass(nodes[rows], absorbed, value, space.dofs.N))
    given = np.isin(names, list(essential))
    free = np.setdiff1d(np.arange(space.dofs.N), nodes[given])
    energy, mass, whole, trace = (
        csc_array(one)[free][:, free] for one in (stiff + absorbing, mass, stiff + absorbing + reactive, trace)
    )
    determined = given.any() or absorbing.nnz > 0
    least = float(eigsh(energy, 1, mass, sigma=0.0, return_eigenvectors=False)[0]) if determined else 0.0
    return least, 1.0 / float(eigsh(trace, 1, whole, which="LM", return_eigenvectors=False)[0])


def _inside(space: LagrangeSpace, inside: Inside) -> tuple[Any, Any, Any]:
    """The matrices of ∫ A∇w · ∇w, ∫ c w² and ∫ w²."""
    total: list[Any] = [0, 0, 0]
    for basis in space.bases():
        x = np.asarray(basis.global_coordinates())
        diffusion, reaction = inside(x.reshape(len(x), -1).T)
        a = np.moveaxis(diffusion.reshape(*x.shape[1:], len(x), len(x)), (0, 1), (-2, -1))
        c = reaction.reshape(x.shape[1:])
        forms = (
            lambda u, v, w, a=a: np.einsum("ij...,j...,i...->...", a, u.grad, v.grad),
            lambda u, v, w, c=c: c * u * v,
            lambda u, v, w: u * v,
        )
        total = [one + BilinearForm(form).coo_data(basis).tocsr() for one, form in zip(total, forms, strict=True)]
    return total[0], total[1], total[2]
