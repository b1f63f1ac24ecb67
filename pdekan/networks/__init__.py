"""Networks: KAN, MLP, a network for each cell, any torch module; Jacobian rows, graded coordinates, edge scores.

May import fields, splines, domains.
"""
