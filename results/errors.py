"""Errors of stored results, separate from the store so that catching them does not load pandas."""

from __future__ import annotations


class ResultsError(Exception):
    """The results folder can't be used as it is. The message is one line that names the file and says what to do."""
