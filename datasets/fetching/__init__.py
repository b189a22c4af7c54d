"""From archives on the web to a verified dataset folder: download, check, unpack, verify.

It may import `datasets.formats` and the dataset contract.
"""
