"""The safe HTTP client: resolves once, connects only to allowed addresses, bounds every body and every wait."""
