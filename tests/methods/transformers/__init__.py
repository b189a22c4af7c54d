"""Tests of methods/transformers."""
