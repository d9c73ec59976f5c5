"""Benchmarks: each program measures a reference in the same run, and prints the ratio to it.

Run them as `python -m benchmarks.http`; README.md has the methods and results.
"""
