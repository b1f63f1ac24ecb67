"""Errors: norms against the exact solution, and the finite-element references that stand for it.

May import fields, domains, networks, problems, fem.
"""
