"""Measurements of quality, speed and memory; `make bench` runs them on an otherwise idle machine."""
