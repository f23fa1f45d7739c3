"""Deliveries that are stored before they are judged, and replayed or dropped afterwards."""
