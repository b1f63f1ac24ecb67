"""Finite elements: which problems they solve, weak forms, elements, meshes, solutions level by level.

May import fields, domains, problems.
"""
