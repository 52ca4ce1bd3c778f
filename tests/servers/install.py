"""Installs the test servers."""
