"""A dataset on disk is checked, and an unsplit one is split.

It may import `datasets.formats` and the dataset contract.
"""
