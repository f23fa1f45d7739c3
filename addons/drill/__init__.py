"""``fediward drill``: makes one cause happen with the real parts, and looks whether the policy was carried out."""
