"""Finds the bindings that an event satisfies and accepts it durably."""
