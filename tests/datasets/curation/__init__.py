"""Tests of datasets/curation."""
