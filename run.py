#!/usr/bin/env python3
"""The launcher."""

from kener_async.cli.main import main

if __name__ == "__main__":
    main()
