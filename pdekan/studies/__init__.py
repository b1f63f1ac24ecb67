"""Studies: many trainings on Dask workers and their findings; the only place that imports Dask.

May import fields, splines, output, domains, networks, problems, ansatz, problem_files, errors, solutions, cells, training,
symbolic, runs.
"""
