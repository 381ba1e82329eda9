"""A task at a glance in a notebook's output: progress of every party, and its curves."""
