"""The runner: from a suite file to stored records.

Rooms, top to bottom; each imports only from those below it: `speed`, `backbones`, `cli`, `execution`,
`profiling` | `attention`, `training`, `planning`. The other files are their common ground: the environment, checked
configuration, errors, hardware, work in a process of its own.
"""
