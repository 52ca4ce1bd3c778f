"""From text to checked models with their places: documents, patterns, expressions."""
