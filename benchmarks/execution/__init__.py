"""How a plan is carried out: worker processes, locks, resume, progress, time budgets, torchrun, clusters.

It decides when and where a Run happens, never what the Run does. It may import profiling, attention, training and
planning.
"""
