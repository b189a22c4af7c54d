"""One file per dataset, which turns the files on disk into a table of images, labels and splits.

A reader is found by being here. It may import `datasets.formats`, `datasets.drawing` and the dataset contract.
"""
