"""Training on cells: adaptive cells, marching through time on them, and the choice between them and one network."""
