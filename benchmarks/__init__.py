"""The runner: from a suite file to stored records.

Rooms, top to bottom; each imports only from those below it: `cli`, `execution`, `profiling` | `attention`, `training`,
`planning`. The files beside them are their common ground: the environment, checked configuration, errors, hardware.
"""
