"""Whether the solution is determined: null directions, ill-posed problems, resonances, other solutions."""
