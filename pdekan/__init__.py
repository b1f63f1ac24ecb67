"""pdekan: partial differential equations in, trained Kolmogorov-Arnold networks and honest errors out."""
