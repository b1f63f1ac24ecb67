"""Starting values of a training: first guesses, carried-over networks, and the search among many small networks."""
