"""``python -m aritmo`` is the command ``aritmo``."""

from aritmo.cli import main

if __name__ == "__main__":
    main()
