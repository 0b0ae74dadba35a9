"""A world of its own for the demo and the tests: pictures, sounds, captions, lists and a server."""
