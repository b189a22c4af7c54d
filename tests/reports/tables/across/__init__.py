"""Tests of reports/tables/across."""
