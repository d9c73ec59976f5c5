"""Measurements as ratios: each program here measures a reference in the same run, and says how near we come.

`python -m benchmarks.http` and the like; README.md says how to repeat them and what they gave.
"""
