"""One file a technology: its client, its errors turned into ours, its events."""
