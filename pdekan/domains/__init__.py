"""Domains: boxes, shapes of plane and space, combinations, meshes, cylinders in time, motion; faces, quadrature, distance.

May import fields.
"""
