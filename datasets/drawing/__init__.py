"""The birds that the embedded dataset draws: shapes and rasterisation, pure NumPy.

It imports nothing else of fgbench.
"""
