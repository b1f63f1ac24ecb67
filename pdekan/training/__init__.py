"""Training: schedule, warm starts, stopping, strategies, trainer, error estimates, uniqueness, time marching, solver.

May import fields, optimizers, output, domains, networks, problems, ansatz, residuals, cells, problem_files, errors, solutions.
"""
