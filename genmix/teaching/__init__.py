"""Check cells of the exercises, and sliders."""
