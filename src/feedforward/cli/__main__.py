"""`feedforward` and `python -m feedforward.cli`."""

import sys

INTERRUPTED = 130  # pipelines.interruption.EXIT_CODE


def main() -> None:
    """Run the command. Ctrl-C while its libraries are being imported gives the same exit code as afterwards."""
    try:
        from feedforward.cli import app

        app.main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
