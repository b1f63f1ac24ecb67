"""Output: HDF5 files, tables and figures from plain arrays; the only place that imports h5py or matplotlib.

Imports nothing of pdekan.
"""
