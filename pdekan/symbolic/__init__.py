"""Symbolic regression: closed forms of solutions and their verification; the only place that imports SymPy.

May import fields, splines, output, domains, networks, problems, ansatz, residuals, problem_files, solutions,
pruning.
"""
