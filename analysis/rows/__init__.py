"""Rows of results: read, validated, flagged, and those of one setting chosen."""
