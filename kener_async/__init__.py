"""A self-hosted status page and incident server that speaks the Kener API 1.0.0."""

__version__ = "0.1.0"
