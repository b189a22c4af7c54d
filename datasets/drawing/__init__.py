"""Draws the birds of the built-in dataset: shapes and rasterisation in pure NumPy.

It imports nothing else of fgbench.
"""
