"""Server-Sent Events as a source of events for Reactor."""
