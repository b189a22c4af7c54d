"""Tests of `datasets.fetching`."""
