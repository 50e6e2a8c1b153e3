"""The public names of a package, read from its source: what a module defines or lists in `__all__`.

Run with the folder of an unpacked fastapi-users-db-sqlalchemy to write `adapter_names.txt` anew.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ADAPTER_NAMES = Path(__file__).parent / "adapter_names.txt"


def public_names(package: Path) -> dict[str, set[str]]:
    """Return the public names of each public module, by its path below the package: "" is the package itself."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            body = ast.parse(path.read_text()).body
            found[".".join(parts)] = {name for name in _defined(body) if not name.startswith("_")}
    return found


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield statement.name
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                yield from ast.literal_eval(value)
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="append"), args=[ast.Constant(value=name)])):
                # `__all__.append("…")`
                yield str(name)
            case ast.Try(body=inner):
                yield from _defined(inner)


def adapter_names() -> dict[str, set[str]]:
    """Return the names of the SQLAlchemy adapter, which cannot be installed beside SQLAlchemy 2.1."""
    found: dict[str, set[str]] = {}
    for line in ADAPTER_NAMES.read_text().splitlines():
        if not line.startswith("#"):
            module, _, name = line.rpartition(":")
            found.setdefault(module, set()).add(name)
    return found


def main(folder: Path) -> None:
    package = folder / "fastapi_users_db_sqlalchemy"
    [version] = [
        path.name.split("-")[1].removesuffix(".dist") for path in folder.glob("fastapi_users_db_sqlalchemy-*.dist-info")
    ]
    lines = [f"{module}:{name}" for module, names in public_names(package).items() for name in sorted(names)]
    header = f"# The public names of fastapi-users-db-sqlalchemy {version}, by module; written by public_names.py."
    ADAPTER_NAMES.write_text("\n".join([header, *lines]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
