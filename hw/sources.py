"""Reads hw/sources.list, the one list of the hardware's sources."""
from pathlib import Path


def entries(root: Path) -> list[tuple[str, Path]]:
    """(set, path) of every line, in the order of the list."""
    found = []
    for number, line in enumerate((root / "hw/sources.list").read_text(encoding="ascii").splitlines(), 1):
        words = line.split("#")[0].split()
        if len(words) not in (0, 2):
            raise ValueError(f"hw/sources.list:{number}: '{line}' is not a set and a file")
        if words:
            found.append((words[0], root / "hw" / words[1]))
    return found


def files(root: Path, endings: list[str], sets: list[str] | None = None) -> list[Path]:
    """The files with one of these endings, of these sets or of all."""
    return [path for name, path in entries(root) if path.suffix in endings and (sets is None or name in sets)]


def include_directories(root: Path) -> list[Path]:
    return sorted({path.parent for path in files(root, [".svh", ".vh"])})
