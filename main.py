"""Front door: python main.py."""

from app.app import app

__all__ = ["app"]

if __name__ == "__main__":
    # Whoever imports this for `uvicorn main:app` needs no command line.
    from app.cli import run, serve

    run(serve)
