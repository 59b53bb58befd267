"""Rows as an app in the browser: `rotgrid explore RESULTS`; `app.py` is its marimo notebook."""
