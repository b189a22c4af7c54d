"""How a plan is carried out: processes, locks, resume, progress, time budgets, torchrun, clusters.

This room decides when and where a Run happens, never what the Run does. It may import estimates, profiling, attention,
training and planning.
"""
