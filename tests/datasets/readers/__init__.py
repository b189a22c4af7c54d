"""Tests of `datasets.readers`."""
