"""File formats shared by several readers: image files, text tables, MATLAB files.

It may import only the dataset contract.
"""
