"""Residuals: collocation points, residual terms, the least-squares problem of the optimizers, validation residuals.

May import fields, optimizers, domains, networks, problems.
"""
