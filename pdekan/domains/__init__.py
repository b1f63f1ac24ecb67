"""Domains: boxes, planar shapes and their combinations, balls, meshes, cylinders in time; faces, quadrature, distance.

May import fields.
"""
