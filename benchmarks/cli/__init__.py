"""What a user types: verbs and their options; `views/` is what the user sees.

Nothing is computed here; each verb is one call into the rooms below. A verb imports what it calls when it is run, so
that `--help` and `list` load neither torch nor pandas. This room may import every other room of benchmarks, but not
reports: what a verb returns (`handover`) is reported by `run_all.py`, which knows both.
"""
