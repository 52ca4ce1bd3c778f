"""`python -m reactor`: the command line, for an interpreter whose programs are not on the path."""

from .cli.main import program

if __name__ == "__main__":
    program()
