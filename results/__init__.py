"""The schema in which all parts meet: settings of Runs, their records, and the folder that stores them.

It imports no other part, and no torch.
"""
