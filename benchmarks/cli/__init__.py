"""What a user types and sees: verbs, options, tables on the terminal, previews of a plan.

Nothing is computed here; each verb is one call into the rooms below. A verb imports what it calls when it is run, so
that `--help` and `list` load neither torch nor pandas. This room may import every other room of benchmarks, but not
reports: what a verb returns (`handover`) is reported by `run_all.py`, which knows both.
"""
