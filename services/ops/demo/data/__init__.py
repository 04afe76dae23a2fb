"""Data of the demo; provenance in README.md."""
