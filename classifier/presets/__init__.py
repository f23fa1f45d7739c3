"""Concept presets and the tiny model, as package data."""
