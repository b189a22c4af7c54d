"""Tests of `reports.figures`."""
