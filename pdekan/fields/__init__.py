"""Fields at points: values with their derivatives (jets), and the differential operators made of them.

Imports nothing of pdekan.
"""
