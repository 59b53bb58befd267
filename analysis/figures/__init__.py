"""Figures: rows in, chart out; nothing is read or written."""
