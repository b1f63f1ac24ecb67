"""What a run leaves behind: the HDF5 file and the figures, written from plain data."""
