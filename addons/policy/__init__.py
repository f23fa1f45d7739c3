"""The admin's policy, pure: configuration, rules, and ``decide(judgements, context) -> Decision``."""
