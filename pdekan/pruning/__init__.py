"""Pruning: smaller networks that are about as good.

May import optimizers, domains, networks, problems, ansatz, residuals, solutions, training.
"""
