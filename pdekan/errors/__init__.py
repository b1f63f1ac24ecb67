"""Errors: norms against the exact or a reference solution, finite-element references, bounds of the energy norm.

May import fields, domains, networks, problems, ansatz, fem.
"""
