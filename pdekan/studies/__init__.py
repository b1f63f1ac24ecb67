"""Studies: many trainings, and what they say together."""
