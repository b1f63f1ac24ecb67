"""Multifrontal QR against dense least squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pdekan.cells.elimination import Front, Memory, UndeterminedError, solve

# a chain of four cells as a balanced tree: nodes in preorder, leaves 2, 3, 5, 6
TREE = [(1, 4), (2, 3), None, None, (5, 6), None, None]
LEAVES = (2, 3, 5, 6)
SIZES = [5, 4, 6, 5, 2, 3, 2]  # four cells, then the faces between neighbours
BLOCKS = {2: (0, 4), 3: (1, 4, 5), 5: (2, 5, 6), 6: (3, 6)}


def _problem(seed: int, rows: int) -> tuple[dict[int, Front], np.ndarray, np.ndarray]:
    """Random rows of every leaf, and the same as one dense matrix with its right-hand side."""
    generator = np.random.default_rng(seed)
    starts = np.cumsum([0, *SIZES])
    fronts, matrix, right = {}, [], []
    for leaf in LEAVES:
        columns = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in BLOCKS[leaf]])
        own = generator.normal(size=(rows, len(columns) + 1)) * 10.0 ** generator.integers(-3, 3, size=(rows, 1))
        fronts[leaf] = Front(BLOCKS[leaf], torch.as_tensor(own))
        dense = np.zeros((rows, starts[-1]))
        dense[:, columns] = own[:, :-1]
        matrix.append(dense)
        right.append(own[:, -1])
    return fronts, np.concatenate(matrix), np.concatenate(right)


@pytest.mark.parametrize("seed", range(4))
def test_the_minimiser_is_that_of_dense_least_squares(seed: int) -> None:
    fronts, matrix, right = _problem(seed, rows=14)
    expected, squared, *_ = np.linalg.lstsq(matrix, right, rcond=None)
    found = solve(TREE, fronts, SIZES)
    x = torch.cat([found.values[block] for block in range(len(SIZES))]).numpy()
    np.testing.assert_allclose(x, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert found.squared_residual == pytest.approx(float(squared[0]), rel=1e-10)


def test_unknowns_without_enough_rows_are_refused() -> None:
    fronts, _, _ = _problem(0, rows=4)
    with pytest.raises(UndeterminedError):
        solve(TREE, fronts, SIZES)


def test_a_block_that_all_leaves_share_is_eliminated_at_the_root() -> None:
    """A number that all cells share, such as a mean, costs one column everywhere."""
    generator = np.random.default_rng(3)
    sizes = [*SIZES[:4], 1]
    fronts, dense, right = {}, np.zeros((40, 21)), np.zeros(40)
    starts = np.cumsum([0, *sizes])
    for k, leaf in enumerate(LEAVES):
        own = generator.normal(size=(10, sizes[k] + 2))
        fronts[leaf] = Front((k, 4), torch.as_tensor(own))
        dense[10 * k : 10 * k + 10, starts[k] : starts[k + 1]] = own[:, :-2]
        dense[10 * k : 10 * k + 10, 20] = own[:, -2]
        right[10 * k : 10 * k + 10] = own[:, -1]
    found = solve(TREE, fronts, sizes)
    expected = np.linalg.lstsq(dense, right, rcond=None)[0]
    np.testing.assert_allclose(torch.cat([found.values[k] for k in range(5)]).numpy(), expected, rtol=1e-10)


def test_what_is_remembered_changes_nothing() -> None:
    """The second solution reduces the changed leaf and the nodes above it alone, and is the same as without a memory."""
    fronts, _, _ = _problem(1, rows=14)
    memory = Memory()
    solve(TREE, dict(fronts), SIZES, memory=memory)
    generator = np.random.default_rng(8)
    changed = fronts | {5: Front(BLOCKS[5], torch.as_tensor(generator.normal(size=(14, 12))))}
    reduced = []
    found = solve(TREE, dict(changed), SIZES, lambda: reduced.append(1), memory)
    expected = solve(TREE, changed, SIZES)
    assert len(reduced) == 3  # leaf 5, its parent 4, the root
    for block in range(len(SIZES)):
        torch.testing.assert_close(found.values[block], expected.values[block], rtol=0.0, atol=0.0)
