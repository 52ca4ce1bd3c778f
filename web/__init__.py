"""The HTTP faces of the application: API, webhooks, streams."""
