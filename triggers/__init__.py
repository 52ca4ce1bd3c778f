"""Sources of events: the contract, the supervisor and one file a source."""
