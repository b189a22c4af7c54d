"""Tests of `datasets.formats`."""
