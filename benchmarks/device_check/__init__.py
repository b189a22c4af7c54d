"""Whether a device computes rightly and repeats itself, and how fast it is: `run_all.py check-device`.

A file here checks one thing. `plan.py` lists the checks in order of importance, `processes.py` carries out each in a
process of its own, and `session.py` all of them within the time. It may import execution and all below it.
"""
