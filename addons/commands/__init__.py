"""The subcommands of ``fediward``, one a file, imported only when called."""
