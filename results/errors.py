"""The error of stored results. Apart from the store, which loads pandas, so that catching it does not."""

from __future__ import annotations


class ResultsError(Exception):
    """The results folder can't be used as it is. The message is one line that names the file and says what to do."""


class OtherSettingsError(ResultsError):
    """A record is whole, but today's settings can't express its Run: older or foreign code made it."""
