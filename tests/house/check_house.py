#!/usr/bin/env python3
"""Checks the walls of the house: who may include whom, and what may stand in the tree.

    check_house.py ROOT    exits 1 and names every file that breaks a rule
"""
import re
import subprocess
import sys
from pathlib import Path

# The floors and their rooms, by folder under sw/ (docs/architecture.md, "Floors and rooms"). A room may include itself, and
# the rooms named here. Every include is written from sw/, so its folder says which room it leads to.
CORE = {"core", "core/regs", "core/blocks", "core/cache", "core/inspect", "core/slot", "core/congestion", "core/pipeline", "core/carriers"}
CARDS = {"driver", "driver/soft", "driver/sharded", "driver/relay", "driver/bus", "driver/router"}
# The engine's rooms from the ground up: each may include those before it.
ENGINE_ORDER = ("config", "host", "recovery", "admin", "sessions", "slots", "cards", "transports", "peers", "services", "regions", "status")
ENGINE = {"runtime/engine/" + room for room in ENGINE_ORDER} | {"runtime/engine"}
# What web servers and executing servers are made of; of the runtime they know the public headers of libslotwire alone.
WEB = {"web/http", "web/server", "web/bridge"}
ALLOWED = {
    "core": set(),
    "core/regs": set(),
    "core/slot": {"core/regs"},
    "core/blocks": set(),
    "core/cache": set(),
    "core/inspect": {"core/slot", "core/regs"},
    "core/congestion": set(),
    "core/pipeline": {"core/congestion", "core/slot", "core/regs"},
    "core/carriers": {"core", "core/pipeline", "core/slot", "core/regs"},
    "core/http_stream": {"core", "core/pipeline"},
    "driver": CORE,
    "driver/soft": CORE | {"driver"},
    "driver/bus": CORE | {"driver", "driver/relay"},
    "driver/relay": CORE | {"driver", "driver/bus"},
    "driver/sharded": CORE | {"driver", "driver/soft"},
    "driver/router": CORE | {"driver", "driver/soft", "driver/sharded", "driver/relay", "driver/bus"},
    "driver/pmd": CORE | {"driver"},
    "runtime/blocks": {"core", "core/blocks", "core/slot", "core/regs", "runtime/control"},
    "runtime/cache": {"runtime/blocks", "core/cache", "core/slot", "core/regs"},
    "runtime/control": {"core", "core/slot", "core/regs"},
    "runtime/sandbox": {"core", "core/slot"},
    "runtime/http": {"runtime/control", "core", "core/slot", "core/regs", "core/carriers", "core/http_stream"},
    "runtime/gate": {"runtime/control", "runtime/http", "runtime/sandbox", "core", "core/slot", "core/regs", "core/carriers"},
    "runtime/client": {"runtime/blocks", "runtime/cache", "core/blocks", "core/cache", "core/inspect", "runtime/control", "core", "core/slot", "core/regs"},
    **{"runtime/engine/" + room: CORE | CARDS | {"runtime/control", "runtime/sandbox", "runtime/blocks"} | {"runtime/engine/" + lower for lower in ENGINE_ORDER[:i]}
       for i, room in enumerate(ENGINE_ORDER)},
    "runtime/engine": CORE | CARDS | ENGINE | {"runtime/control", "runtime/sandbox", "runtime/blocks"},
    "web/page": {"runtime/control", "runtime/sandbox", "core", "core/slot", "core/regs"},
    "web/nginx": {"core"},  # headers alone: core's, libslotwire's installed ones, and nginx's
    "sim/engine": CORE | CARDS | ENGINE | {"runtime/control", "sim"},
    "web/http": set(),
    "web/server": {"web/http"},
    "web/bridge": {"core/slot", "web/http", "web/server"},
    "tools": CORE | CARDS | ENGINE | WEB | {"runtime/blocks", "runtime/cache", "runtime/control", "runtime/client", "runtime/http", "core/http_stream"},
    "sim/http": {"core", "core/http_stream", "sim"},
    "sim": {"core/regs", "core/slot", "core/congestion", "core/pipeline", "driver", "driver/bus", "driver/relay", "driver/pmd"},
}
FLOORS = ("core", "driver", "runtime", "web", "tools", "sim")
# These depend on the standard library alone; the named files also on the system calls that memory, descriptors and sleeping need.
STANDARD_ONLY = {"core/slot", "core/blocks", "core/cache", "core/congestion", "core/pipeline", "core/http_stream"}
SYSTEM_FILES = {"core/slot/barrier.cpp", "core/slot/memory.cpp", "core/slot/open_files.cpp", "core/slot/poll_waiter.cpp",
                "core/slot/waiter.cpp"}
INTRINSICS = {"immintrin.h", "nmmintrin.h", "smmintrin.h", "wmmintrin.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)
MAX_LINES = 900


def room_of(folder: str) -> str | None:
    """The room that a folder under sw/ belongs to: the deepest one that is known."""
    while folder and folder not in ALLOWED:
        folder = folder.rpartition("/")[0]
    return folder or None


def part_of(path: Path, root: Path) -> str | None:
    relative = path.relative_to(root)
    if relative.parts[0] == "sim":
        folder = "sim/" + relative.parts[1]
        return folder if folder in ALLOWED else "sim"
    if relative.parts[0] != "sw" or len(relative.parts) < 3 or "include" in relative.parts:
        return None
    folder = "/".join(relative.parts[1:-1])
    return room_of(folder) or folder


# Written by programs; their tables and lists are what they are.
GENERATED_PAGES = {"docs/configuration.md", "docs/registers.md", "docs/synthesis.md"}
MAX_COLUMNS = 120


def check_page(name: str, text: str) -> list[str]:
    """Prose wraps; tables, code and what a program wrote between <!-- begin and <!-- end do not."""
    problems = []
    code = generated = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            code = not code
        if line.startswith("<!--"):
            generated = "begin" in line or (generated and "end" not in line)
        if len(line) > MAX_COLUMNS and not code and not generated and not line.lstrip().startswith(("|", "<", "[")):
            problems.append(f"{name}:{number}: prose of {len(line)} columns; at most {MAX_COLUMNS}")
    return problems


PUBLIC_HEADERS = "sw/runtime/client/include"
MANUAL_PAGE = "packaging/man/libslotwire.3"


def check_manual_page(root: Path) -> list[str]:
    """The manual page of the library names every function of its C headers."""
    declared = {function for header in sorted((root / PUBLIC_HEADERS).glob("*.h"))
                for function in re.findall(r"^SW_API\b[^;(]*?\b(sw_\w+)\(", header.read_text(encoding="utf-8"), re.M)}
    page = root / MANUAL_PAGE
    named = set(re.findall(r"\bsw_\w+", page.read_text(encoding="utf-8"))) if page.exists() else set()
    return [f"{MANUAL_PAGE}: does not name {function}()" for function in sorted(declared - named)]


PAGE_PROGRAM = "sw/web/page/main.cpp"
PAGE_MANUAL = "packaging/man/slotwire-page.8"


def check_page_manual(root: Path) -> list[str]:
    """The manual page of slotwire-page names every option of the program, and no other."""
    if not (root / PAGE_PROGRAM).exists():
        return []
    options = set(re.findall(r'add_(?:option|flag)\("(--[a-z-]+)"', (root / PAGE_PROGRAM).read_text(encoding="utf-8")))
    page = root / PAGE_MANUAL
    text = page.read_text(encoding="utf-8").replace("\\-", "-") if page.exists() else ""
    named = set(re.findall(r"(?<![\w-])--[a-z-]+", text.partition(".SH PATHS")[0])) - {"--help", "--version"}
    return ([f"{PAGE_MANUAL}: does not name {option}" for option in sorted(options - named)] +
            [f"{PAGE_MANUAL}: names {option}, which the program does not have" for option in sorted(named - options)])


QUOTED = re.compile(r'"(?P<heading>[^"]{3,80})" in docs/(?P<page>[\w-]+\.md)|docs/(?P<page2>[\w-]+\.md), "(?P<heading2>[^"]{3,80})"')


def check_headings(name: str, text: str, root: Path) -> list[str]:
    """A comment that names a section of a page by its heading, or by how that begins, names one that is there."""
    problems = []
    flat = re.sub(r"\s*\n\s*(///?<?|#|\*)?\s*", " ", text) if "docs/" in text else ""
    for found in QUOTED.finditer(flat):
        page, heading = found["page"] or found["page2"], found["heading"] or found["heading2"]
        path = root / "docs" / page
        headings = re.findall(r"^#+ +(.*)$", path.read_text(encoding="utf-8"), re.M) if path.exists() else []
        if not any(there.lower().startswith(heading.lower()) for there in headings):
            problems.append(f"{name}: docs/{page} has no section '{heading}'")
    return problems


def check(root: Path) -> list[str]:
    problems = check_manual_page(root) + check_page_manual(root)
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if listed.returncode == 0:
        files = [root / name for name in listed.stdout.splitlines()]
    else:
        files = [path for path in root.rglob("*") if path.is_file() and not any(p.startswith("build") for p in path.parts)]
    sources = [path for path in files if path.suffix in (".cpp", ".hpp", ".h", ".c") and path.exists()]
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.suffix == ".md" and path.exists() and name not in GENERATED_PAGES:
            problems += check_page(name, path.read_text(encoding="utf-8"))
    for path in sources:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root)
        if path.suffix in (".hpp", ".h") and "#pragma once" not in text and "#ifndef" not in text:
            problems.append(f"{name}: a header without an include guard")
        if re.search(r"^\s*using namespace (?!std::.*literals)", text, re.M) and path.suffix in (".hpp", ".h"):
            problems.append(f"{name}: 'using namespace' in a header")
        if text.count("\n") > MAX_LINES and "generated" not in text[:600].lower():
            problems.append(f"{name}: {text.count(chr(10))} lines; a file has one subject (at most {MAX_LINES} lines)")
        problems += check_headings(str(name), text, root)
        part = part_of(path, root)
        if part is None:
            continue
        if part not in ALLOWED:
            problems.append(f"{name}: '{part}' is a part that tests/house/check_house.py does not know")
            continue
        for kind, included in INCLUDE.findall(text):
            target = room_of(included.rpartition("/")[0]) if included.split("/")[0] in FLOORS else None
            if kind == '"' and target and target != part and target not in ALLOWED[part]:
                problems.append(f"{name}: includes {included}; {part} must not depend on {target}")
            if part in STANDARD_ONLY and kind == "<":
                key = str(Path(*name.parts[1:]))
                system = "/" in included or included.endswith(".h")
                if system and included not in INTRINSICS and key not in SYSTEM_FILES:
                    problems.append(f"{name}: includes <{included}>; {part} depends on the standard library alone")
    return problems


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    problems = check(Path(sys.argv[1]).resolve())
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
