"""Studies: many trainings, and what they show together."""
