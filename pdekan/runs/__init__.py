"""Runs: directories with a solution, its figures, its history and its summary.

May import output, networks, ansatz, problem_files, solutions, training.
"""
