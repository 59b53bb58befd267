"""The plan on Ray Tune, and what a launch shows and waits for; only here Ray is imported."""
