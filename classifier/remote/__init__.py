"""Judging on other machines: a door's rows go by way of a NATS server to workers, and their symbols come back."""
