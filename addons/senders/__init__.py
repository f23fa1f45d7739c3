"""Who brings a delivery: signatures verified, deny and allow lists, and a fair share for each."""
