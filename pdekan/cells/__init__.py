"""Cells: least squares with a network for each cell: rows cell by cell, multifrontal QR, adaptive refinement.

May import fields, domains, networks, problems, residuals.
"""
