"""Tests of the course of a training: its phases, epochs and steps, and what changes over them."""
