"""The words every part shares: events, deliveries, errors, limits, clock and ids."""
