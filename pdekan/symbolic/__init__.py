"""Symbolic regression: closed forms of solutions and their verification; the only place that imports SymPy.

May import fields, splines, optimizers, output, domains, networks, problems, ansatz, residuals, problem_files, solutions,
training.
"""
