"""Carries out runs: the plan, the run table and the executor."""
