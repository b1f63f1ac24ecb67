"""Training: schedule, starts, strategies, stopping, trainer, estimates, cells, slabs of time, families, posedness, solver.

May import fields, splines, optimizers, output, domains, networks, problems, ansatz, residuals, cells, singularities,
problem_files, errors, solutions.
"""
