"""The error of stored results. Apart from the store, which loads pandas, so that catching it does not."""

from __future__ import annotations


class ResultsError(Exception):
    """The results folder can't be used as it is. The message is one line that names the file and says what to do."""
