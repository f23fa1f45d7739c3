"""The further readings of a picture file: what some browser, server or file manager would show of it besides."""
