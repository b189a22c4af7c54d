"""Tests of `datasets.loading`."""
