"""The little fediverse of ``fediward demo``: a signing sender, a verifying server, fediward between them."""
