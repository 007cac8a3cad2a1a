"""The scripts that build the shells with the vendor's tools, run without them: make with recorders in the places of vivado, v++ and
platforminfo, every Tcl script in tclsh (recorder.tcl). What they name is elaborated by Verilator, exactly those files with the top that
they name, and compared with what the vendor publishes of platforms, network kernel and box (vendor_interfaces.toml).

    build_scripts_test.py [-v] [TEST]     the real tree has no problem, and each seeded fault is found
    build_scripts_test.py --golden        writes golden/*.calls, the calls of the packager and of the plug-in, anew
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GOLDEN = HERE / "golden"
TIMEOUT = 240
sys.path.insert(0, str(ROOT / "hw"))
import sources  # noqa: E402

with open(HERE / "vendor_interfaces.toml", "rb") as _file:
    VENDOR = tomllib.load(_file)


def tcl_list(words):
    return " ".join("{" + str(word) + "}" for word in words)


def parse_tcl(text):
    """The words of a Tcl list, by tclsh itself."""
    script = "set l [read stdin]\nforeach w $l {puts [string map {\\n \\\\n} $w]}\n"
    with tempfile.NamedTemporaryFile("w", suffix=".tcl") as file:
        file.write(script)
        file.flush()
        out = subprocess.run(["tclsh", file.name], input=text, capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout
    return out.splitlines()


class Build:
    """One run of a shell's build in a tree, and the problems that it has."""

    def __init__(self, tree):
        self.tree, self.hw, self.problems = tree, tree / "hw", []
        self.work = Path(tempfile.mkdtemp(prefix="slotwire-build-"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.work)

    def problem(self, what):
        self.problems.append(what)

    def record(self, allowed, script, arguments=(), cwd=None, env=None, **design):
        """Runs a script under the recorder. Its calls, or nothing and a problem if it ends with an error."""
        setting = self.work / "setting"
        names = {key: tcl_list(value) for key, value in design.items() if key != "nets"}
        nets = " ".join(f"{{{pin}}} {{{net}}}" for pin, net in design.get("nets", {}).items())
        setting.write_text(f"allowed {{{tcl_list(allowed)}}} nets {{{nets}}} " + " ".join(f"{key} {{{value}}}" for key, value in names.items()))
        log = self.work / "log"
        ran = subprocess.run(["tclsh", HERE / "recorder.tcl", log, setting, script, *arguments], cwd=cwd or self.work, capture_output=True, text=True,
                             timeout=TIMEOUT, check=False, env={**os.environ, **(env or {})})
        if ran.returncode != 0:
            self.problem(f"{Path(script).name}: {ran.stderr.strip().splitlines()[0] if ran.stderr.strip() else 'failed'}")
        return [parse_tcl(line) for line in log.read_text().splitlines()]

    def golden(self, name, calls):
        """The calls as they stand in golden/, with paths from the tree's root."""
        def plain(word):
            return word.replace(str(self.tree), "TREE").replace(str(self.work), "WORK")
        return "".join(" ".join(plain(word) for word in call) + "\n" for call in calls)

    def elaborate(self, files, top, include, more=()):
        """Ports (name -> (direction, bits)) and modules (name -> instances) of what Verilator makes of exactly these files, with the headers in a directory."""
        xml, empty = self.work / "elaborated.xml", self.work / "empty"
        empty.mkdir(exist_ok=True)
        command = ["verilator", "--xml-only", "--xml-output", xml, "--Mdir", self.work / "obj", f"+incdir+{include}", "-Wall", "-Wno-fatal",
                   "--top-module", top, *files, *more]
        # Verilator also looks for modules where headers are and where it runs: neither has any.
        ran = subprocess.run(list(map(str, command)), cwd=empty, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        errors = [line for line in ran.stderr.splitlines() if re.match(r"%Error|%Warning-(IMPLICIT|PINMISSING|PINNOTFOUND|WIDTH|UNDRIVEN)", line)]
        if ran.returncode != 0 or errors:
            self.problem(f"{top} does not elaborate from the files that are named: {errors[0] if errors else ran.stderr[:200]}")
            return {}, {}
        root = ElementTree.parse(xml).getroot()
        modules = {}
        for cell in root.iter("cell"):
            modules.setdefault(cell.get("submodname").split("__")[0], []).append(cell.get("hier"))
        types = {t.get("id"): abs(int(t.get("left", 0)) - int(t.get("right", 0))) + 1 for t in root.iter("basicdtype")}
        module = next(m for m in root.iter("module") if m.get("topModule") == "1")
        ports = {v.get("name"): (v.get("dir"), types.get(v.get("dtype_id"))) for v in module.findall("var") if v.get("dir")}
        for file in files:
            if Path(file).suffix in (".sv", ".v") and Path(file).stem not in (*modules, "slotwire_pkg"):
                self.problem(f"{Path(file).name} is named and not used by {top}")
        return ports, modules

    def check_constraints(self, files, modules, referred):
        """What each .xdc names is there: registers of the module, instances in it; a crossing without constraints is a problem."""
        texts = {path.stem: path.read_text() for path in sources.files(self.tree, [".sv", ".v"]) if path.exists()}
        for file in files:
            module = referred(file)
            if module not in modules:
                self.problem(f"{file.name} applies to {module}, which is not in the design")
                continue
            for path in re.findall(r"get_(?:cells|pins) \{([^}]*)\}", file.read_text()):
                *instances, register = re.sub(r"/CLR$", "", path).split("/")
                inside = module
                for instance in instances:
                    found = re.search(rf"\b(\w+)\s*(?:#\s*\((?:[^()]|\([^()]*\))*\)\s*)?\b{instance}\b\s*\(", texts.get(inside, ""))
                    inside = found[1] if found else None
                name = re.sub(r"_reg(\[\*\]|\*)?$", "", register)
                if not inside or not re.search(rf"\b{name}\b", texts.get(inside, "")):
                    self.problem(f"{file.name} names {path}, which {module} does not have")
            for port in re.findall(r"get_ports (\w+)", file.read_text()):
                if not re.search(rf"input\s+logic\s+{port}\b", texts[module]):
                    self.problem(f"{file.name} names the port {port}, which {module} does not have")
        crossings = {path.stem for path in sources.files(self.tree, [".xdc"]) if path.stem.startswith("sw_") and path.stem in modules}
        for module in sorted(crossings - {referred(file) for file in files}):
            for place in modules[module]:
                covered = any(place.split(".", 1)[1].replace(".", "/") + "/" in file.read_text() for file in files if referred(file) == modules_top(modules))
                if not covered:
                    self.problem(f"{place} ({module}) crosses clocks and has no constraints")

    # ---- OpenNIC --------------------------------------------------------------------------------------------------------

    def opennic(self):
        box = VENDOR["opennic"]
        plugin = self.hw / "shells/opennic/plugin"
        calls = self.record(box["allowed"], plugin / "build_box_250mhz.tcl", cwd=plugin)
        files = [Path(os.path.normpath(w)) for call in calls if call[0] == "read_verilog" for words in call[1:] if not words.startswith("-") for w in words.split()]
        constraints = {Path(os.path.normpath(call[-1])): call[call.index("-ref") + 1] for call in calls if call[0] == "read_xdc"}
        stub = self.work / f"{box['box']}.sv"
        bits = box["stream_bits"]
        ports = [f"input logic [{n - 1}:0] {p}" for p, n in box["inputs"].items()] + [f"output logic [{n - 1}:0] {p}" for p, n in box["outputs"].items()]
        for stream, count in box["streams"].items():
            for signal, n in bits.items():
                into = stream.startswith("s_") != (signal == "tready")
                ports.append(f"{'input' if into else 'output'} logic [{n}*{count}-1:0] {stream}_{signal}")
        parameters = ", ".join("parameter int " + p.replace("=", " = ") for p in box["parameters"])
        stub.write_text(f"module {box['box']} #({parameters}) (\n  " + ",\n  ".join(ports) + "\n);\n  assign box_rst_done = box_rstn;\n"
                        '`include "box_250mhz_address_map_inst.vh"\n`include "user_plugin_250mhz_inst.vh"\nendmodule\n')
        copied = self.work / "headers"
        copied.mkdir()
        for directory in [plugin / "box_250mhz", *[Path(word) for call in calls if call[0] == "include_dirs" for word in call[1:]]]:
            for header in [*directory.glob("*.svh"), *directory.glob("*.vh")]:
                shutil.copy(header, copied)
        _, modules = self.elaborate([*files, stub], box["box"], copied, more=[plugin / "box_250mhz/box_250mhz_address_map.v"])
        if modules:
            self.check_constraints(list(constraints), modules, lambda file: constraints[file])
        return self.golden("plugin", calls)

    # ---- XRT ------------------------------------------------------------------------------------------------------------

    def xrt(self, card, names):
        """Packages and links for a card; `names`: which of the published names of the transceivers its platform may have."""
        platform, shell = VENDOR["platform"][card], self.hw / "shells/xrt"
        calls, link = self.make(card, platform, shell)
        if calls is None:
            return ""
        packaged = self.packaged(calls)
        if link is not None and packaged:
            for transceivers in names:
                self.check_link(link, card, platform, transceivers, packaged)
        return self.golden("packager", calls)

    def make(self, card, platform, shell):
        """Runs make. The packager's calls and the arguments of v++."""
        tools = self.work / "tools"
        tools.mkdir()
        vendor_part = "xilinx:family:" + platform["part"].replace("-", ":")
        scripts = {
            "platforminfo": f'case "$*" in *"devices[0].fpgaPart"*{platform["name"]}*) echo \'"{vendor_part}"\';; *) echo "not known: $*" >&2; exit 1;; esac',
            "vivado": 'printf "%s\\n" "$@" > "$RECORDED/vivado"',
            "v++": 'printf "%s\\n" "$@" > "$RECORDED/v++"',
        }
        # make wants vivado's product before it links.
        scripts["vivado"] += '\nwhile [ $# -gt 0 ]; do [ "$1" = -tclargs ] && { : > "$2"; exit 0; }; shift; done; exit 1'
        for name, text in scripts.items():
            (tools / name).write_text(f"#!/bin/sh\n{text}\n")
            (tools / name).chmod(0o755)
        network = self.work / "cmac_0.xo"
        network.touch()
        ran = subprocess.run(["make", "-C", shell, f"CARD={card}", f"PLATFORM={platform['name']}", f"NETWORK={network}", f"OUT={self.work / 'out'}", "BUILD_ID=0badcafe"],
                             env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "RECORDED": str(self.work)}, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if ran.returncode != 0:
            said = [line for line in (ran.stdout + ran.stderr).splitlines() if not line.startswith("make:")]
            self.problem(f"make ends with an error: {'; '.join(said)}")
            return None, None
        arguments = (self.work / "vivado").read_text().splitlines()
        script, given = Path(arguments[arguments.index("-source") + 1]), arguments[arguments.index("-tclargs") + 1:]
        if given[1] != platform["part"]:
            self.problem(f"the packager is given the part {given[1]}, the platform is for {platform['part']}")
        calls = self.record(VENDOR["packager"]["allowed"], script, given)
        return calls, (self.work / "v++").read_text().splitlines()

    def packaged(self, calls):
        """Checks the packager's calls and the kernel; the kernel's interfaces: bus -> (kind, direction, signal -> bits)."""
        named = {call[0]: call for call in calls}
        for command in ("package_xo", "ipx::check_integrity", "ipx::package_project"):
            if command not in named:
                self.problem(f"the packager does not call {command}")
                return None
        properties = {(call[1], call[3] if len(call) > 3 else ""): call[2] for call in calls if call[0] == "set_property" and len(call) > 3}
        top = properties.get(("top", "sources_1"))
        include = properties.get(("include_dirs", "sources_1"), "").split()
        files = [Path(os.path.normpath(w)) for call in calls if call[0] == "read_verilog" for word in call[1:] if not word.startswith("-") for w in word.split()]
        headers = [Path(w) for call in calls if call[0] == "add_files" and "constrs_1" not in call for w in call[-1].split()]
        constraints = [Path(os.path.normpath(w)) for call in calls if call[0] == "add_files" and "constrs_1" in call for w in call[-1].split()]
        top_file = next((f for f in files if f.stem == top), None)
        if top_file is None or top_file.suffix != ".v":
            self.problem(f"the top {top} is not in Verilog, which the packager wants")
            return None
        # Only directories that hold a header that the packager was given: what is not packed is not there at the link.
        copied = self.work / "packed"
        copied.mkdir()
        for header in headers:
            shutil.copy(header, copied)
        if not include:
            self.problem("the packager is told no include directories")
        ports, modules = self.elaborate(files, top, copied)
        if not ports:
            return None
        if "32'h0badcafe" not in "".join(header.read_text() for header in headers):
            self.problem("the build id is in no header that is packaged")
        if properties.get(("xpm_libraries", "core"), "").split() != VENDOR["packager"]["libraries"]:
            self.problem("xpm_libraries is not set to what the packager wants")
        self.check_constraints(constraints, modules, lambda file: file.stem)
        buses, clocks = self.interfaces(top_file.read_text(), ports)
        associated = {call[call.index("-busif") + 1]: call[call.index("-clock") + 1] for call in calls if call[0] == "ipx::associate_bus_interfaces" and "-busif" in call}
        for bus, (kind, *_rest) in buses.items():
            if kind.startswith("xilinx.com:interface") and associated.get(bus) not in clocks:
                self.problem(f"the interface {bus} is associated with the clock {associated.get(bus)}, the kernel has {sorted(clocks)}")
        for clock in clocks:
            if ("value", f"bus_{clock}.FREQ_HZ") not in properties:
                self.problem(f"the clock {clock} has no FREQ_HZ")
        self.frequency = properties.get(("value", "bus_ap_clk.FREQ_HZ"))
        microsecond = re.search(r"parameter MicrosecondClocks = (\d+)", top_file.read_text())[1]
        if self.frequency and int(self.frequency) != int(microsecond) * 1_000_000:
            self.problem(f"the kernel counts {microsecond} clocks a microsecond, its clock is packaged with {self.frequency} Hz")
        self.check_kernel_xml(named["package_xo"], buses, ports)
        return buses

    def interfaces(self, text, ports):
        """What the attributes of the top say, compared with its ports."""
        buses, clocks, resets = {}, {}, {}
        found = re.findall(r'\(\* X_INTERFACE_INFO = "(\S+) (\w+) (\w+)" \*\)\s*(?:\(\* X_INTERFACE_PARAMETER = "([^"]*)" \*\))?(?:\s|/\*.*?\*/|//[^\n]*)*(input|output)\s+wire\s*(?:\[[^\]]*\])?\s*(\w+)', text)
        for kind, bus, signal, parameter, direction, port in found:
            if port not in ports or ports[port][0] != direction:
                self.problem(f"the attribute of {port} is of no port of the elaborated top")
                continue
            buses.setdefault(bus, (kind, {}, {}))[1][signal] = ports[port][1]
            buses[bus][2][signal] = direction
            if kind == "xilinx.com:signal:clock:1.0":
                clocks[bus] = dict(re.findall(r"(\w+) ([\w:]+)", parameter))
            if kind == "xilinx.com:signal:reset:1.0":
                resets[bus] = parameter
        for port in ports:
            if port not in [f[-1] for f in found]:
                self.problem(f"the port {port} belongs to no interface")
        for bus, (kind, signals, directions) in buses.items():
            if not kind.startswith("xilinx.com:interface"):
                continue
            published = VENDOR["interface"].get(kind)
            if published is None:
                self.problem(f"{bus} is of the unknown kind {kind}")
                continue
            slave = directions.get("AWVALID", directions.get("TVALID")) == "input"
            wanted = dict.fromkeys(published["in"], "input" if slave else "output") | dict.fromkeys(published["out"], "output" if slave else "input")
            full = {s: ("input" if slave else "output") for s in published.get("full_in", [])} | {s: ("output" if slave else "input") for s in published.get("full_out", [])}
            if full.keys() & signals.keys():
                wanted |= full
            if wanted != directions:
                self.problem(f"{bus}: signals or directions are not those of {kind}: {sorted(set(wanted.items()) ^ set(directions.items()))}")
            if not any(bus in c.get("ASSOCIATED_BUSIF", "").split(":") for c in clocks.values()):
                self.problem(f"no clock says that {bus} is associated with it")
        for clock, parameters in clocks.items():
            if parameters.get("ASSOCIATED_RESET") not in resets:
                self.problem(f"the clock {clock} is associated with the reset {parameters.get('ASSOCIATED_RESET')}, which there is not")
            for bus in parameters.get("ASSOCIATED_BUSIF", "").split(":"):
                if bus not in buses:
                    self.problem(f"the clock {clock} is associated with {bus}, which there is not")
        if "interrupt" not in ports:
            self.problem("XRT wants the interrupt by the name 'interrupt'")
        return buses, clocks

    def check_kernel_xml(self, call, buses, ports):
        kernel = ElementTree.parse(call[call.index("-kernel_xml") + 1]).getroot().find("kernel")
        described = {port.get("name"): port for port in kernel.find("ports")}
        real = {bus: value for bus, value in buses.items() if value[0].startswith("xilinx.com:interface")}
        if set(described) != set(real):
            self.problem(f"kernel.xml and the top have different interfaces: {sorted(set(described) ^ set(real))}")
        for name in set(described) & set(real):
            kind, signals, directions = real[name]
            bits = signals.get("WDATA", signals.get("TDATA"))
            if int(described[name].get("dataWidth")) != bits:
                self.problem(f"kernel.xml gives {name} {described[name].get('dataWidth')} bits, the top {bits}")
            into = directions.get("AWVALID", directions.get("TVALID")) == "input"
            if described[name].get("mode") not in (("slave", "read_only") if into else ("master", "write_only")):
                self.problem(f"kernel.xml says that {name} is {described[name].get('mode')}")
            if kind.endswith("aximm:1.0") and into and 1 << signals["AWADDR"] != int(described[name].get("range"), 0):
                self.problem(f"kernel.xml gives {name} the range {described[name].get('range')}, its address has {signals['AWADDR']} bits")
            if kind.endswith("aximm:1.0") and not into and signals["AWADDR"] != 64:
                self.problem(f"{name} has addresses of {signals['AWADDR']} bits; the packager wants 64")
        for argument in kernel.find("args"):
            if argument.get("port") not in described:
                self.problem(f"kernel.xml has an argument of the port {argument.get('port')}, which there is not")
        self.kernel = kernel.get("name")

    def check_link(self, arguments, card, platform, transceivers, buses):
        network = VENDOR["network"]
        configuration = Path(arguments[arguments.index("--config") + 1])
        lines = [line.split("#")[0].strip() for line in configuration.read_text().splitlines()]
        settings = [tuple(line.split("=", 1)) for line in lines if "=" in line]
        frequency = dict(settings).get("kernel_frequency", "")
        if self.frequency and frequency != f"0:{int(self.frequency) // 1_000_000}":
            self.problem(f"{configuration.name} asks for the frequency {frequency}, the kernel is packaged for {self.frequency} Hz")
        instances = {}
        for key, value in settings:
            if key == "nk":
                kernel, _count, name = value.split(":")
                instances[name] = kernel
        if sorted(instances.values()) != sorted([self.kernel, network["kernel"]]):
            self.problem(f"{configuration.name} has the kernels {sorted(instances.values())}")
        streams = {}
        for name, kernel in instances.items():
            if kernel == network["kernel"]:
                streams |= {f"{name}.{s}": (d == "in", network["stream_bits"]) for s, d in network["streams"].items()}
            else:
                streams |= {f"{name}.{bus}": (directions["TVALID"] == "input", signals) for bus, (kind, signals, directions) in buses.items() if kind.endswith("axis:1.0")}
        unconnected = set(streams)
        for key, value in settings:
            if key not in ("sc", "stream_connect"):
                continue
            source, sink = value.split(":")[:2]
            for end, into in ((source, False), (sink, True)):
                if end not in streams:
                    self.problem(f"{configuration.name} connects {end}, which there is not")
                elif streams[end][0] != into:
                    self.problem(f"{configuration.name} connects {end} the wrong way round")
                unconnected.discard(end)
            if source in streams and sink in streams and streams[source][1] != streams[sink][1]:
                self.problem(f"{source} and {sink} have different signals: {streams[source][1]} and {streams[sink][1]}")
        for end in sorted(unconnected):
            self.problem(f"{configuration.name} leaves {end} unconnected")
        memory = {bus for bus, (kind, signals, directions) in buses.items() if kind.endswith("aximm:1.0") and directions["AWVALID"] == "output"}
        for key, value in settings:
            if key == "sp":
                port, place = value.split(":")
                memory.discard(port.split(".")[1])
                bank = re.fullmatch(r"(\w+)\[(\d+)\]", place)
                if port.split(".")[0] not in instances or port.split(".")[1] not in buses:
                    self.problem(f"{configuration.name} places {port}, which there is not")
                elif not bank or int(bank[2]) >= platform["memories"].get(bank[1], 0):
                    self.problem(f"{configuration.name} places {port} in {place}, which {card} has not")
            if key == "slr":
                name, region = value.split(":")
                if name not in instances or int(region.removeprefix("SLR")) >= platform["slrs"]:
                    self.problem(f"{configuration.name}: {value} is not of {card}")
        for port in sorted(memory):
            self.problem(f"{configuration.name} leaves {port} without memory")
        self.check_hook(arguments, settings, platform, transceivers, network, instances)

    def check_hook(self, arguments, settings, platform, transceivers, network, instances):
        """The pins of the network kernel that no configuration connects: by the hook after the system link."""
        cell = next((name for name, kernel in instances.items() if kernel == network["kernel"]), None)
        pins = [f"{cell}/{pin}" for pin in network["interface_pins"] + network["clock_pins"]]
        given = [a.split("=", 1)[1] for a in arguments if a.startswith("compiler.userPostSysLinkOverlayTcl=")]
        connected = {value.split(":")[1]: value.split(":")[0] for key, value in settings if key == "connect"}
        if given:
            hook = Path(given[0])
            if not hook.is_absolute() or not hook.is_file():
                self.problem(f"the hook {hook} is no file by its full path")
                return
            kind, clock = platform["free_clock"]
            calls = self.record(VENDOR["linker"]["allowed"], hook, cells=[cell, "slotwire_0"], interface_ports=[transceivers["clock"], transceivers["data"]],
                                ports=[clock] if kind == "port" else [], pins=pins + ([clock] if kind == "pin" else []), nets={f"{cell}/clk_gt_freerun": "kernel_clock"})
            for call in calls:
                if call[0].startswith("connect_"):
                    connected[call[2]] = call[1]
        for pin, wanted in zip(pins, (transceivers["data"], transceivers["clock"], platform["free_clock"][1])):
            if connected.get(pin) != wanted:
                self.problem(f"{pin} is connected to {connected.get(pin)}, and should be to {wanted}")


def modules_top(modules):
    return next(name for name, places in modules.items() if "." not in places[0])


def listed(tree):
    """Every source of the hardware stands in the list, and what stands in it is there."""
    names = {path for path in sources.files(tree, [".sv", ".v", ".svh", ".xdc"])}
    there = {p for d in ("rtl", "shells") for e in ("sv", "v", "svh", "xdc") for p in (tree / "hw" / d).rglob(f"*.{e}") if "box_250mhz" not in str(p)}
    return [f"{path.relative_to(tree)} is not in hw/sources.list" for path in sorted(there - names)] + \
           [f"{path.relative_to(tree)} is in hw/sources.list and not there" for path in sorted(names - there)]


def problems(tree, card, shells, names=None):
    found = listed(tree) if "list" in shells else []
    with Build(tree) as build:
        if "opennic" in shells:
            build.opennic()
        if "xrt" in shells:
            build.xrt(card, names or VENDOR["transceivers"][:1])
        return found + build.problems


class BuildScripts(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        for tool in ("tclsh", "verilator", "make"):
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} was not found (scripts/install-deps)")

    def test_the_list_has_every_source(self):
        self.assertEqual(listed(ROOT), [])

    def test_the_plugin_of_opennic(self):
        with Build(ROOT) as build:
            calls = build.opennic()
            self.assertEqual(build.problems, [])
            self.assertEqual(calls, (GOLDEN / "opennic.calls").read_text(), "the calls differ; if they should, run build_scripts_test.py --golden")

    def test_the_packager_of_xrt(self):
        with Build(ROOT) as build:
            calls = build.xrt("u50", VENDOR["transceivers"][:1])
            self.assertEqual(build.problems, [])
            self.assertEqual(calls, (GOLDEN / "xrt.calls").read_text(), "the calls differ; if they should, run build_scripts_test.py --golden")

    def test_every_card_with_every_name_of_its_transceivers(self):
        for card in VENDOR["platform"]:
            with self.subTest(card=card):
                self.assertEqual(problems(ROOT, card, ["xrt"], VENDOR["transceivers"]), [])

    def test_a_platform_of_another_card_is_refused(self):
        with Build(ROOT) as build:
            build.make("u50", VENDOR["platform"]["u250"], ROOT / "hw/shells/xrt")
            self.assertEqual(len(build.problems), 1)
            self.assertIn("name a platform of this card", str(build.problems))


class SeededFaults(unittest.TestCase):
    """Each fault in a copy of the tree is found, and named."""

    def setUp(self):
        BuildScripts.setUp(self)
        self.tree = Path(tempfile.mkdtemp(prefix="slotwire-tree-")).resolve()
        self.addCleanup(shutil.rmtree, self.tree)
        shutil.copytree(ROOT / "hw", self.tree / "hw")

    def change(self, file, old, new, count=1):
        path = self.tree / "hw" / file
        text = path.read_text()
        self.assertGreaterEqual(text.count(old), 1, f"{old!r} is not in {file}")
        path.write_text(text.replace(old, new) if count == 0 else text.replace(old, new, count))

    def finds(self, pattern, shells, card="u50"):
        found = problems(self.tree, card, shells)
        self.assertTrue(any(re.search(pattern, problem) for problem in found), f"not found; problems: {found}")

    def test_a_missing_file_in_the_list(self):
        self.change("sources.list", "core       rtl/slotwire_classifier.sv\n", "")
        self.finds("slotwire_classifier.sv is not in hw/sources.list", ["list"])
        self.finds("slotwire_xrt does not elaborate .*slotwire_classifier", ["xrt"])
        self.finds("box_250mhz does not elaborate .*slotwire_classifier", ["opennic"])

    def test_a_missing_set(self):
        self.change("shells/xrt/package_kernel.tcl", "clocks window frames", "clocks window")
        self.finds("slotwire_xrt does not elaborate .*sw_window_frames", ["xrt"])
        self.change("shells/opennic/plugin/build_box_250mhz.tcl", "chip level crossing", "chip level")
        self.finds("box_250mhz does not elaborate .*sw_async_fifo", ["opennic"])

    def test_a_file_that_is_not_there(self):
        (self.tree / "hw/rtl/slotwire_tx.sv").unlink()
        self.finds("slotwire_tx.sv is in hw/sources.list and not there", ["list"])
        self.finds("build_box_250mhz.tcl: read_verilog: file .*slotwire_tx.sv' does not exist", ["opennic"])

    def test_a_file_that_nothing_uses(self):
        self.change("shells/xrt/package_kernel.tcl", "outside xrt", "outside chip xrt")
        self.finds("sw_slot_mem.sv is named and not used by slotwire_xrt", ["xrt"])

    def test_a_missing_header(self):
        self.change("shells/xrt/package_kernel.tcl", "[concat [slotwire::headers] [list $build_id_header]]", "[slotwire::headers]")
        self.finds("slotwire_xrt does not elaborate .*slotwire_build_id", ["xrt"])

    def test_a_build_id_that_is_not_packaged(self):
        self.change("shells/xrt/package_kernel.tcl", 'puts $channel "`define SLOTWIRE_BUILD_ID 32\'h$build_id"', 'puts $channel "`define SLOTWIRE_BUILD_ID 32\'h0"')
        self.finds("the build id is in no header", ["xrt"])

    def test_a_wrong_port(self):
        self.change("shells/xrt/slotwire_xrt.v", "m_axis_tx_tkeep", "m_axis_tx_keep", 0)
        self.finds("does not elaborate", ["xrt"])

    def test_a_port_of_another_width(self):
        self.change("shells/xrt/slotwire_xrt.v", "output wire [63:0]  m_axis_tx_tkeep", "output wire [31:0]  m_axis_tx_tkeep")
        self.finds("slotwire_xrt does not elaborate .*m_axis_tx_tkeep' expects 64 bits", ["xrt"])

    def test_a_signal_that_the_network_kernel_has_not(self):
        self.change("shells/xrt/slotwire_xrt.v", '  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_axis_tx TVALID" *)',
                    '  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_axis_tx TUSER" *)\n  output wire m_axis_tx_tuser,\n'
                    '  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_axis_tx TVALID" *)')
        self.change("shells/xrt/slotwire_xrt.v", "  slotwire_xrt_kernel #(", "  assign m_axis_tx_tuser = 1'b0;\n  slotwire_xrt_kernel #(")
        self.finds("slotwire_0.m_axis_tx and cmac_0.S_AXIS have different signals", ["xrt"])

    def test_a_port_without_an_interface(self):
        self.change("shells/xrt/slotwire_xrt.v", '(* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_axis_tx TLAST" *)', "")
        self.finds("the port m_axis_tx_tlast belongs to no interface", ["xrt"])

    def test_a_range_that_the_address_does_not_have(self):
        self.change("shells/xrt/kernel.xml", 'range="0x100000"', 'range="0x10000"')
        self.finds("kernel.xml gives s_axi_control the range 0x10000", ["xrt"])

    def test_a_wrong_port_in_a_link_configuration(self):
        self.change("shells/xrt/link_u50.cfg", "cmac_0.M_AXIS:slotwire_0.s_axis_rx", "cmac_0.M_AXIS:slotwire_0.rx_axis")
        self.finds("link_u50.cfg connects slotwire_0.rx_axis, which there is not", ["xrt"])
        self.finds("link_u50.cfg leaves slotwire_0.s_axis_rx unconnected", ["xrt"])

    def test_streams_the_wrong_way_round(self):
        self.change("shells/xrt/link_u50.cfg", "slotwire_0.m_axis_tx:cmac_0.S_AXIS", "cmac_0.S_AXIS:slotwire_0.m_axis_tx")
        self.finds("the wrong way round", ["xrt"])

    def test_a_memory_that_the_card_has_not(self):
        self.change("shells/xrt/link_u250.cfg", "DDR[1]", "HBM[0]")
        self.finds(r"in HBM\[0\], which u250 has not", ["xrt"], "u250")

    def test_a_missing_hook(self):
        self.change("shells/xrt/Makefile", "--advanced.param compiler.userPostSysLinkOverlayTcl=$(HERE)connect_network.tcl ", "")
        self.finds("cmac_0/gt_serial_port0 is connected to None", ["xrt"])
        self.finds("cmac_0/clk_gt_freerun is connected to None", ["xrt"])

    def test_a_hook_that_leaves_a_pin(self):
        self.change("shells/xrt/connect_network.tcl", "connect_bd_intf_net [get_bd_intf_ports $clock] [get_bd_intf_pins $kernel/gt_refclk0]", "")
        self.finds("cmac_0/gt_refclk0 is connected to None", ["xrt"])

    def test_a_hook_that_leaves_the_kernel_clock_at_the_transceivers(self):
        self.change("shells/xrt/connect_network.tcl", "disconnect_bd_net $net $pin", "")
        self.finds("cmac_0/clk_gt_freerun' is connected already", ["xrt"])

    def test_a_clock_that_is_not_there(self):
        self.change("shells/xrt/connect_network.tcl", "    {pin ii_level0_wire/ulp_m_aclk_freerun_ref_00}\n", "")
        self.finds("connect_network.tcl: the platform has none of the free-running clocks", ["xrt"])

    def test_a_clock_that_the_kernel_has_not(self):
        self.change("shells/xrt/package_kernel.tcl", "-busif $bus -clock ap_clk", "-busif $bus -clock kernel_clk")
        self.finds("associated with the clock kernel_clk, the kernel has", ["xrt"])

    def test_a_clock_without_a_frequency(self):
        self.change("shells/xrt/package_kernel.tcl", "set_property value $frequency $parameter", "")
        self.finds("the clock ap_clk has no FREQ_HZ", ["xrt"])

    def test_a_frequency_that_is_not_the_kernels(self):
        self.change("shells/xrt/link_u50.cfg", "kernel_frequency=0:250", "kernel_frequency=0:300")
        self.finds("link_u50.cfg asks for the frequency 0:300", ["xrt"])

    def test_an_interface_that_no_clock_is_associated_with(self):
        self.change("shells/xrt/slotwire_xrt.v", "m_axi_memory:s_axis_rx:m_axis_tx", "m_axi_memory:s_axis_rx")
        self.finds("no clock says that m_axis_tx is associated with it", ["xrt"])

    def test_a_systemverilog_top(self):
        self.change("shells/xrt/package_kernel.tcl", "set_property top $name", "set_property top slotwire_xrt_kernel")
        self.finds("the top slotwire_xrt_kernel is not in Verilog", ["xrt"])

    def test_a_command_that_the_tool_has_not(self):
        self.change("shells/xrt/package_kernel.tcl", "ipx::check_integrity -kernel", "ipx::check_kernel")
        self.finds('invalid command name "ipx::check_kernel"', ["xrt"])

    def test_a_part_that_is_a_board(self):
        self.change("shells/xrt/Makefile", "hardwarePlatform.devices[0].fpgaPart", "hardwarePlatform.board.part")
        self.finds("make ends with an error: .*is for the FPGA ''", ["xrt"])

    def test_a_crossing_without_constraints(self):
        self.change("sources.list", "crossing   rtl/prim/sw_async_fifo.xdc\n", "")
        self.finds("sw_async_fifo.xdc is not in hw/sources.list", ["list"])
        self.setUp()
        self.change("shells/opennic/plugin/build_box_250mhz.tcl", "[slotwire::constraints $slotwire_sets]", "[slotwire::constraints opennic]")
        self.finds(r"u_request \(sw_async_fifo\) crosses clocks and has no constraints", ["opennic"])

    def test_constraints_of_what_is_not_there(self):
        self.change("rtl/prim/sw_async_fifo.xdc", "wgray_q_reg", "write_gray_reg", 0)
        self.finds(r"sw_async_fifo.xdc names write_gray_reg\[\*\], which sw_async_fifo does not have", ["opennic"])

    def test_a_wrong_port_of_the_plugin(self):
        self.change("shells/opennic/plugin/box_250mhz/user_plugin_250mhz_inst.vh", "(axis_aclk)", "(axis_clk)")
        self.finds("box_250mhz does not elaborate", ["opennic"])


def write_golden():
    GOLDEN.mkdir(exist_ok=True)
    with Build(ROOT) as build:
        (GOLDEN / "opennic.calls").write_text(build.opennic())
    with Build(ROOT) as build:
        (GOLDEN / "xrt.calls").write_text(build.xrt("u50", VENDOR["transceivers"][:1]))
        print("\n".join(build.problems))


if __name__ == "__main__":
    if sys.argv[1:] == ["--golden"]:
        write_golden()
    else:
        unittest.main()
