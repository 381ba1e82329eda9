"""`python -m playground_ext.runner` is `playground`."""

from playground_ext.runner.cli import app

if __name__ == "__main__":
    app(prog_name="playground")
