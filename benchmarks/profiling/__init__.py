"""Speed, memory and arithmetic of one method in one mode on one device.

It may import training, whose step is the one that is timed, and planning.
"""
