"""The durable state of all parts behind one contract."""
