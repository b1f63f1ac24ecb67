"""Time marching: slabs of time one after the other, and systems of ordinary differential equations."""
