"""File formats that several readers share: image files, text tables, MATLAB files.

It may import the contract only.
"""
