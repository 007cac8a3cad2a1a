#!/usr/bin/env python3
"""Proves the hardware blocks, and shows for each proof that it can fail.

    run.py [--work DIR] [--keep] PROOF...     PROOF is a file hw/formal/fv_NAME.sv, by its NAME (sw_fifo)
    run.py --list

A proof fv_NAME.sv is a module of that name that holds the block and its properties; fv_NAME.toml says how it is checked:

    [[config]]           one run of everything with these parameters of the top; none: the defaults
    params = {Depth = 4}
    bounded = 20         search for counterexamples for so many clocks from reset only, where a proof would take too long: no proof
    [[mutant]]           a seeded bug, that the proof must find
    what = "..."         in a few words
    file = "..."         which file of the project is changed
    old, new             the text (just once in the file) and what it becomes
    config = 0           with which configuration (default the first)
    cover_depth = 40     clocks in which every SW_COVER must be reachable (default 40; 0: the proof has no covers)
    timeout = 300        seconds for each run of a tool
    narrow = [4, 2]      the rules with positions of 4 bits and frames of up to 2^2 - 1 lines (narrow.py)
    clocks = 2           the top has more than one clock; every input is free at every edge of a common faster one (default 1)
    [[abstract]]         something made freer than it is (never less free), so that the proof ends: what, file, old, new as a mutant's;
                         in new, `(* anyseq *)` makes a signal that may be anything at any clock

FV_NAME, in capitals, is defined: a block may hold rules on its inner state for its own proof only.

The proof is Yosys (AIGER) and yosys-abc (PDR): unbounded, from reset, every input free but for the assumptions. A mutant counts as
found when the same flow gives a counterexample. A cover counts as reached when bounded search finds it.
Exit status: 0 if the block is proved, every mutant found and every cover reached; 1 otherwise; 77 without Yosys.
"""
import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import sources  # noqa: E402  (hw/sources.py)

CHECK_DIR = "hw/formal/check"
SKIPPED = 77


class Failed(Exception):
    """What was to be shown was not shown."""


def run_tool(command: list[str], timeout: int) -> str:
    """Output of a tool that must end well."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{command[0]} did not end within {timeout} s") from error
    if ran.returncode != 0:
        raise Failed(f"{command[0]} failed:\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}")
    return ran.stdout


def module_files(root: Path, top: Path) -> list[Path]:
    """The package, the top, and the files of all modules that these name, found by their names."""
    known = {path.stem: path for path in [*sources.files(root, [".sv"]), *(root / CHECK_DIR).glob("*.sv")]}
    wanted, found = [top], {}
    while wanted:
        path = wanted.pop()
        if path.stem in found:
            continue
        found[path.stem] = path
        words = set(re.findall(r"\b\w+\b", re.sub(r"//.*", "", path.read_text(encoding="utf-8"))))
        wanted += [known[w] for w in words if w in known and w not in found]
    return sorted(found.values(), key=lambda p: (p.stem != "slotwire_pkg", str(p)))


def build_aiger(root: Path, name: str, params: dict, defines: list[str], out: Path, timeout: int, clocks: int = 1) -> None:
    top = f"fv_{name}"
    files = module_files(root, root / "hw/formal" / f"{top}.sv")
    include = " ".join(f"-I{d}" for d in [*sources.include_directories(root), root / CHECK_DIR])
    define = " ".join(f"-D{d}" for d in [top.upper(), *defines])
    chparam = " ".join(f"-chparam {k} {int(v)}" for k, v in params.items())
    script = f"""
read_verilog -sv -formal {define} {include} {' '.join(map(str, files))}
hierarchy -check -top {top} {chparam}
prep -flatten -nordff
{"async2sync" if clocks == 1 else "memory_map; clk2fflogic"}
chformal -cover -remove
chformal -early
memory_map
setundef -undriven -anyseq
opt -keepdc
delete -output
simplemap
dffunmap
techmap
opt_clean
dffunmap
abc -g AND -fast
opt_clean
write_aiger -I -B -zinit -map {out}.map {out}
"""
    run_tool(["yosys", "-q", "-p", script], timeout)


def prove(aiger: Path, timeout: int) -> int | None:
    """None: proved. A number: the frame of the counterexample. abc exits 0 either way, so its words decide."""
    text = run_tool(["yosys-abc", "-c", f"read_aiger {aiger}; fold; strash; scorr; pdr"], timeout)
    if "Property proved" in text:
        return None
    found = re.search(r"was asserted in frame (\d+)", text)
    if found:
        return int(found[1])
    # Structural reduction may already leave a constant.
    raise Failed(f"yosys-abc neither proved nor refuted it:\n{text[-2000:]}")


def search(aiger: Path, depth: int, timeout: int) -> int | None:
    """None: no counterexample within `depth` clocks. A number: its frame."""
    text = run_tool(["yosys-abc", "-c", f"read_aiger {aiger}; fold; strash; scorr; bmc3 -F {depth}"], timeout)
    found = re.search(r"was asserted in frame (\d+)", text)
    if found:
        return int(found[1])
    if not re.search(rf"No output asserted in {depth} frames", text):
        raise Failed(f"yosys-abc did not search {depth} clocks:\n{text[-2000:]}")
    return None


def reach(aiger: Path, depth: int, timeout: int) -> tuple[int, int]:
    """Covers that were reached within `depth` clocks, and covers in all."""
    load = f"read_aiger {aiger}; fold; strash"
    text = run_tool(["yosys-abc", "-c", f"{load}; print_stats"], timeout)
    stats = re.search(r"i/o =\s*\d+/\s*(\d+)", text)
    if not stats:
        raise Failed(f"yosys-abc gave no statistics:\n{text[-2000:]}")
    total = int(stats[1])
    reached = 0
    for output in range(total):
        text = run_tool(["yosys-abc", "-c", f"{load}; cone -s -O {output}; bmc3 -F {depth}"], timeout)
        reached += "was asserted in frame" in text
    return reached, total


def copy_sources(tree: Path) -> None:
    paths = [ROOT / "hw/sources.list", *sources.files(ROOT, [".sv", ".svh"])]
    paths += [path for directory in (CHECK_DIR, "hw/formal") for path in (ROOT / directory).glob("*.sv*")]
    for path in paths:
        target = tree / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def narrow(plan: dict, tree: Path, timeout: int) -> None:
    if "narrow" in plan:
        run_tool([sys.executable, str(HERE / "narrow.py"), str(tree), *map(str, plan["narrow"])], timeout)


def mutate(mutant: dict, tree: Path) -> None:
    path = tree / mutant["file"]
    text = path.read_text(encoding="utf-8")
    if text.count(mutant["old"]) != 1:
        raise Failed(f"the text of the mutant stands {text.count(mutant['old'])} times in {mutant['file']}, not once")
    path.write_text(text.replace(mutant["old"], mutant["new"]), encoding="utf-8")


def check(name: str, work: Path) -> bool:
    with open(HERE / f"fv_{name}.toml", "rb") as file:
        plan = tomllib.load(file)
    configs = [c.get("params", {}) for c in plan.get("config", [])] or [{}]
    bounds = [c.get("bounded") for c in plan.get("config", [])] or [None]
    depth, timeout = plan.get("cover_depth", 40), plan.get("timeout", 300)
    clocks, mutants = plan.get("clocks", 1), plan.get("mutant", [])
    good = True

    def step(what: str, action) -> None:
        nonlocal good
        start = time.monotonic()
        try:
            result = action()
            print(f"  {what}: {result} ({time.monotonic() - start:.1f} s)", flush=True)
        except Failed as failure:
            good = False
            print(f"  {what}: FAILED: {failure}", flush=True)

    def prepare(tree: Path, mutant: dict | None) -> None:
        copy_sources(tree)
        for change in [*([mutant] if mutant else []), *plan.get("abstract", [])]:
            mutate(change, tree)
        narrow(plan, tree, timeout)

    def sources() -> Path:
        if "narrow" not in plan and "abstract" not in plan:
            return ROOT
        tree = work / f"{name}-changed"
        if not tree.exists():
            prepare(tree, None)
        return tree

    def proof(index: int, params: dict) -> str:
        aiger = work / f"{name}-{index}.aig"
        build_aiger(sources(), name, params, [], aiger, timeout, clocks)
        frame = search(aiger, bounds[index], timeout) if bounds[index] else prove(aiger, timeout)
        if frame is not None:
            raise Failed(f"a counterexample in frame {frame}")
        return f"not refuted within {bounds[index]} clocks" if bounds[index] else "proved"

    def cover(index: int, params: dict) -> str:
        aiger = work / f"{name}-{index}-cover.aig"
        build_aiger(sources(), name, params, ["SW_COVER_RUN"], aiger, timeout, clocks)
        solved, total = reach(aiger, depth, timeout)
        if total == 0 or solved != total:
            raise Failed(f"{solved} of {total} covers reached within {depth} clocks")
        return f"all {total} covers reached"

    def bug(index: int, mutant: dict) -> str:
        tree = work / f"{name}-mutant{index}"
        prepare(tree, mutant)
        aiger = work / f"{name}-mutant{index}.aig"
        config = mutant.get("config", 0)
        build_aiger(tree, name, configs[config], [], aiger, timeout, clocks)
        frame = search(aiger, bounds[config], timeout) if bounds[config] else prove(aiger, timeout)
        if frame is None:
            raise Failed("not found")
        return f"found, counterexample in frame {frame}"

    print(name, flush=True)
    for index, params in enumerate(configs):
        words = " ".join(f"{k}={v}" for k, v in params.items())
        step(f"proof {words}".rstrip(), lambda: proof(index, params))
        if depth > 0:
            step(f"covers {words}".rstrip(), lambda: cover(index, params))
    if not mutants:
        good = False
        print("  FAILED: no mutant: nothing shows that this proof can fail")
    for index, mutant in enumerate(mutants):
        step(f"mutant '{mutant['what']}'", lambda: bug(index, mutant))
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proofs", nargs="*", metavar="PROOF")
    parser.add_argument("--list", action="store_true", help="names of all proofs")
    parser.add_argument("--work", type=Path, help="directory for intermediate files (kept); default a temporary one")
    arguments = parser.parse_args()
    names = sorted(path.stem.removeprefix("fv_") for path in HERE.glob("fv_*.toml"))
    if arguments.list:
        print("\n".join(names))
        return 0
    for tool in ("yosys", "yosys-abc"):
        if not shutil.which(tool):
            print(f"SKIPPED: {tool} was not found (scripts/install-deps)")
            return SKIPPED
    unknown = [name for name in arguments.proofs if name not in names]
    if unknown:
        print(f"no such proof: {' '.join(unknown)}; there are: {' '.join(names)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="slotwire-formal-") as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        good = [check(name, work) for name in arguments.proofs or names]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
