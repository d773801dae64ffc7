"""`python -m morphoscope`, the same as the `morphoscope` command."""

from morphoscope.cli import main

if __name__ == "__main__":
    main()
