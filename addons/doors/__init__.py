"""The doors: one mitmproxy addon a file. A door is thin: parse, ask, act."""
