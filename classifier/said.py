"""What other processes and machines say, made fit for a log: they may be taken over, and terminals obey controls."""


def fit(text: str, most: int) -> str:
    """At most ``most`` characters of it, with ``?`` for each that is not printable."""
    return "".join(char if char.isprintable() else "?" for char in text[:most])
