"""Networks: KAN, MLP and any torch module, with Jacobian rows; graded coordinates, edge scores, evaluation.

May import fields, splines.
"""
