"""A dataset behind HTTP, on Ray Serve: one deployment that searches, one for the page."""
