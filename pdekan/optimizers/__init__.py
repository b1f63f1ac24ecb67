"""Optimizers of least-squares problems: Gauss-Newton with and without the Jacobian, self-scaled Broyden, L-BFGS, Adam.

Imports nothing of pdekan.
"""
