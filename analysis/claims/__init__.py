"""Sentences that rows can decide, the evidence on each, and the verdict."""
