"""Thresholds from an admin's own ordinary media: scoring a folder, choosing, drawing, and editing the policy."""
