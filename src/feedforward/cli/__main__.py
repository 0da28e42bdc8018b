"""`python -m feedforward.cli`."""

from feedforward.cli.app import main

if __name__ == "__main__":
    main()
