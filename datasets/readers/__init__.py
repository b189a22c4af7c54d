"""One file per dataset: its files on disk -> a table of images, labels and splits.

A reader is found by being here. It may import the file formats, the bird drawings and the contract.
"""
