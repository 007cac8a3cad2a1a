#!/usr/bin/env python3
"""Sums up ctest's JUnit report: failures, reasons of skips, then "N passed, N failed, N skipped".

    test_report.py FILE    exits 0 if nothing failed and at least one test ran
"""
import re
import sys
import xml.etree.ElementTree

# How the test programs say why they skip: GoogleTest's message after the place, unittest's after the name.
REASONS = (re.compile(r"skipped '(.*)'"), re.compile(r"^.*: Skipped\s*\n(.+)$", re.M), re.compile(r"^SKIP(?:PED)?:? (.*)$", re.M))


def reason(output):
    for pattern in REASONS:
        found = pattern.search(output)
        if found:
            return found.group(1).strip()
    return "no reason was printed"


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    try:
        cases = xml.etree.ElementTree.parse(sys.argv[1]).getroot().findall("testcase")
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        print(f"ctest left no report ({error}): no test was run")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    skipped = {}
    failed = []
    passed = 0
    for case in cases:
        if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            output = case.findtext("system-out") or ""
            skipped.setdefault(reason(output), []).append(case.get("name"))
        elif case.find("failure") is not None or case.get("status") == "fail":
            failed.append(case.get("name"))
        else:
            passed += 1
    for why, names in skipped.items():
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        print(f"skipped: {why}: {shown}")
    for name in failed:
        print(f"failed: {name}")
    if not cases:
        print("no test fits the selection")
    count = sum(len(names) for names in skipped.values())
    print(f"{passed} passed, {len(failed)} failed, {count} skipped")
    return 0 if not failed and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
