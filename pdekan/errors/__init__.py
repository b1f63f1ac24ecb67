"""Errors: norms against the exact or a reference solution, and finite-element reference solutions.

May import fields, domains, networks, problems, fem.
"""
