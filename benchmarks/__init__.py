"""Measurements: figures as ratios within one run. Nothing of the program imports from here."""
