"""Exercises and sliders of the notebooks."""
