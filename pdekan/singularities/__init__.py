"""Singularities: where a solution is not smooth (corners, crossings, sources, abrupt beginnings), and its functions there.

May import fields, domains, networks, problems, ansatz, residuals, cells.
"""
