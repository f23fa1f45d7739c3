"""Tells the admin what needs a person: by webhook, ntfy and e-mail, seldom, and never in a door's way."""
