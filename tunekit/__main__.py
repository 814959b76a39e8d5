"""`python -m tunekit`."""

from tunekit.cli.main import main

if __name__ == "__main__":
    main()
