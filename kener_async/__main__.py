"""`python -m kener_async`: the same program as `kener-async`."""

from kener_async.cli.main import main

if __name__ == "__main__":
    main()
