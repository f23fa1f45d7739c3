"""What ``fediward doctor`` checks: each thing that has to work, tried for real, and what to mend where it does not."""
