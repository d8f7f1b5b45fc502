"""Measurements of quality (`make tables`), speed and memory (`make bench`), on an otherwise idle machine."""
