"""From suite files, recipes and overrides to a list of frozen Runs.

Everything that a Run depends on is looked up and checked here, before anything is computed. It imports no other room.
"""
