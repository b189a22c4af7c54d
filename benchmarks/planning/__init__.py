"""From suite files, recipes and overrides to a list of frozen Runs.

Everything a Run depends on is resolved and checked here, before anything is computed. It imports no other room.
"""
