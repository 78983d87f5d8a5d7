"""Intervals, paired tests and corrections. NumPy and SciPy load when a figure is asked for, not before."""
