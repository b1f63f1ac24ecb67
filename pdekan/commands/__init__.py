"""Commands: a file each, options in, exit code out; the terminal.

May import output, networks, problems, ansatz, cells, singularities, problem_files, errors, solutions, training, pruning,
symbolic, runs, studies.
"""
