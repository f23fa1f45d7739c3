"""ActivityPub, pure: walk an activity, know its shapes and the servers that speak it. No I/O in here."""
