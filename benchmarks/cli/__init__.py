"""What a user types and sees: verbs, options, tables on the terminal, plan previews.

Nothing is computed here; every verb is a call into the rooms below. It may import every other room of the runner.
"""
