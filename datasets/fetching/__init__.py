"""From archives on the web to a dataset folder: download, check, unpack.

It may import `datasets.formats` and the dataset contract.
"""
