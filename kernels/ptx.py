#!/usr/bin/env python3
"""Generates and checks kernels/ptx with pinned tools. No GPU is needed.

  ptx.py generate     write ptx/NAME.ptx for each NAME.cu, and ptx/HASHES
  ptx.py check        generate in memory and compare with what lies in ptx/
  ptx.py resources    registers and memory of each kernel on each architecture; fails on spills and stack frames
  ptx.py setup [DIR]  put the tools of requirements.txt into DIR; the others do this first

Exit status: 0 done, 1 the kernels are at fault, 2 wrong usage, 3 the tools cannot be had here.
"""

import argparse
import concurrent.futures
import ctypes
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PTX = HERE / "ptx"
HASHES = PTX / "HASHES"
REQUIREMENTS = HERE / "requirements.txt"
TOOLS = HERE.parent / "target" / "cuda-tools"

NVRTC = "12.0.140"
OPTIONS = [
    "--gpu-architecture=compute_75",
    "--std=c++17",
    # Floats as IEEE has them: the CPU must get the same bits.
    "--fmad=false",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "-default-device",
    # `unsigned __int128`, which nvcc has as it is.
    "--device-int128",
]
# The same for nvcc, which has no -default-device: functions that are not constexpr need their __device__.
NVCC_OPTIONS = [
    "-std=c++17",
    "-fmad=false",
    "-ftz=false",
    "-prec-div=true",
    "-prec-sqrt=true",
    "--expt-relaxed-constexpr",
]

# The kernels run on these: Turing, Ampere, Orin, Hopper, Blackwell.
ARCHITECTURES = ["sm_75", "sm_80", "sm_87", "sm_90", "sm_120"]

# Kernels (or functions that are not inlined) that may spill or have a stack frame: name -> reason.
ALLOWED = {}


class Unavailable(Exception):
    """The tools cannot be had here: exit status 3."""


class Fault(Exception):
    """The kernels, or the files generated from them, are at fault: exit status 1."""


# ---- tools


def setup(tools):
    """Installs requirements.txt into the virtual environment `tools`, unless that has been done."""
    stamp = tools / "installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    if tools.exists() and any(tools.iterdir()) and not (tools / "pyvenv.cfg").is_file():
        raise SystemExit(f"ptx.py: {tools} is neither empty nor a virtual environment")
    print(f"installing the CUDA tools into {tools} (a download of about 120 MB)", file=sys.stderr, flush=True)
    made = run([sys.executable, "-m", "venv", "--clear", str(tools)])
    if made.returncode:
        raise Unavailable("python3 cannot make a virtual environment: " + last_line(made))
    pip = [str(tools / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "--retries", "2"]
    done = run(pip + ["install", "--only-binary", ":all:", "--require-hashes", "-r", str(REQUIREMENTS)])
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise Fault(done.stderr)
    if done.returncode:
        raise Unavailable("pip cannot install kernels/requirements.txt: " + last_line(done))
    stamp.write_text(wanted)


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", **more)


def last_line(process):
    lines = (process.stderr + process.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit status {process.returncode}"


def installed(tools, path):
    found = sorted(tools.glob("lib/python3*/site-packages/nvidia/" + path))
    if not found:
        raise Unavailable(f"{tools} has no {path}")
    return found[0]


# ---- what lies in kernels/


def sources():
    return sorted(HERE.glob("*.cu"))


def headers():
    return sorted(HERE.glob("*.h"))


def fnv1a(data):
    """FNV-1a of 64 bits: enough to see a forgotten `generate`, and a line in tests/ptx.rs. `check` compares bytes."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def hashes(ptx):
    """The contents of ptx/HASHES."""
    files = [(path.name, path.read_bytes()) for path in sources() + headers()]
    files += [("ptx/" + name, text) for name, text in ptx.items()]
    return "".join(f"{fnv1a(data):016x}  {name}\n" for name, data in sorted(files)).encode()


# ---- generating


class Nvrtc:
    """The library that compiles, as far as it is needed here."""

    def __init__(self, tools):
        path = installed(tools, "cuda_nvrtc/lib/libnvrtc.so.12")
        try:
            self.library = ctypes.CDLL(str(path))
        except OSError as error:
            raise Unavailable(str(error)) from error
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p
        self.warnings = []

    def call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code:
            raise Fault(f"{name}: {self.library.nvrtcGetErrorString(code).decode()}")

    def text(self, what, program):
        """PTX or log: the library gives both with a terminating zero."""
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.raw[: size.value].rstrip(b"\0")

    def compile(self, path):
        strings = ctypes.c_char_p * max(len(headers()), 1)
        program = ctypes.c_void_p()
        self.call(
            "nvrtcCreateProgram",
            ctypes.byref(program),
            path.read_bytes(),
            path.name.encode(),
            len(headers()),
            strings(*[header.read_bytes() for header in headers()]),
            strings(*[header.name.encode() for header in headers()]),
        )
        try:
            options = [option.encode() for option in OPTIONS]
            code = self.library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
            log = self.text("ProgramLog", program).decode(errors="replace").strip()
            if code:
                raise Fault(f"{path.name} does not compile:\n{log}")
            if log:
                self.warnings.append(log)
            ptx = self.text("PTX", program).rstrip() + b"\n"
        finally:
            self.call("nvrtcDestroyProgram", ctypes.byref(program))
        if f"V{NVRTC}".encode() not in ptx:
            raise Fault(f"{path.name} was not compiled by NVRTC {NVRTC}")
        return ptx


def generated(tools):
    """Every file that belongs into ptx/, and the compiler's warnings."""
    ptx, warnings = {}, []
    if sources():
        setup(tools)
        # Nothing in the working directory may be found by an #include, or named in the output.
        with tempfile.TemporaryDirectory() as empty:
            before = os.getcwd()
            os.chdir(empty)
            try:
                nvrtc = Nvrtc(tools)
                ptx = {path.stem + ".ptx": nvrtc.compile(path) for path in sources()}
                warnings = nvrtc.warnings
            finally:
                os.chdir(before)
    return {**ptx, HASHES.name: hashes(ptx)}, warnings


def superfluous(files):
    return [path for path in sorted(PTX.glob("*.ptx")) if path.name not in files]


def generate(tools):
    files, warnings = generated(tools)
    PTX.mkdir(exist_ok=True)
    for path in superfluous(files):
        path.unlink()
        print(f"removed kernels/ptx/{path.name}")
    for name, data in files.items():
        path = PTX / name
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)
            print(f"wrote kernels/ptx/{name}")
    for warning in warnings:
        print(f"{warning}\n`ptx.py check` takes this for an error", file=sys.stderr)


def check(tools):
    files, warnings = generated(tools)
    if warnings:
        raise Fault("warnings:\n" + "\n".join(warnings))
    wrong = [f"kernels/ptx/{path.name} has no source" for path in superfluous(files)]
    for name, data in files.items():
        path = PTX / name
        if not path.is_file():
            wrong.append(f"kernels/ptx/{name} is missing")
        elif path.read_bytes() != data:
            lines = set(path.read_bytes().splitlines()) ^ set(data.splitlines())
            names = sorted({line.decode(errors="replace")[18:] for line in lines}) if path == HASHES else []
            wrong.append(f"kernels/ptx/{name} is stale" + (f": {', '.join(names)}" if names else ""))
    if wrong:
        raise Fault("\n".join(wrong + ["run: python3 kernels/ptx.py generate"]))
    print(f"kernels/ptx is current: {len(files) - 1} files of PTX")


# ---- resources


def resources(tools):
    if not sources():
        print("no kernels")
        return
    setup(tools)
    nvcc, ptxas = installed(tools, "cu13/bin/nvcc"), installed(tools, "cu13/bin/ptxas")
    jobs = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sources():
            ptx = PTX / (path.stem + ".ptx")
            if not ptx.is_file():
                raise Fault(f"kernels/ptx/{ptx.name} is missing\nrun: python3 kernels/ptx.py generate")
            for arch in ARCHITECTURES:
                for origin, command in [
                    ("ptx", [str(ptxas), "-v", str(ptx)]),
                    ("nvcc", [str(nvcc), "-cubin", "-Xptxas", "-v", *NVCC_OPTIONS, str(path)]),
                ]:
                    cubin = os.path.join(folder, f"{path.stem}.{arch}.{origin}.cubin")
                    jobs.append((path, arch, origin, [*command, f"-arch={arch}", "-o", cubin]))
        if not shutil.which("g++"):
            print("SKIPPED: nvcc needs g++, and there is none; only the committed PTX is looked at")
            jobs = [job for job in jobs if job[2] == "ptx"]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            processes = list(pool.map(lambda job: run(job[3]), jobs))

    rows, wrong = [], []
    for (path, arch, origin, _), process in zip(jobs, processes):
        if process.returncode:
            raise Fault(f"{path.name} ({origin}, {arch}):\n{process.stderr}{process.stdout}")
        found = report(process.stderr + process.stdout)
        if not found:
            raise Fault(f"{path.name} ({origin}, {arch}): no kernel found in\n{process.stderr}{process.stdout}")
        for name, use in found.items():
            rows.append((name, ARCHITECTURES.index(arch), origin, use))
    rows.sort(key=lambda row: row[:3])
    table = [["kernel", "arch", "from", "registers", "static shared", "barriers", "spill bytes", "local bytes"]]
    for name, arch, origin, use in rows:
        table.append([name, ARCHITECTURES[arch], origin] + [str(use[key]) for key in COLUMNS])
        if (use["spills"] or use["local"]) and name not in ALLOWED:
            where = f"{name}, {ARCHITECTURES[arch]}, from {origin}"
            wrong.append(f"{where}: {use['spills']} spill bytes, {use['local']} local bytes")
    widths = [max(map(len, column)) for column in zip(*table)]
    for line in table:
        cells = [c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))]
        print("  ".join(cells))
    for name, reason in ALLOWED.items():
        print(f"allowed to spill: {name} ({reason})")
        if not any(row[0] == name and (row[3]["spills"] or row[3]["local"]) for row in rows):
            wrong.append(f"{name} does not spill any more: take it from ALLOWED")
    if wrong:
        raise Fault("spills or a stack frame:\n" + "\n".join(wrong))


COLUMNS = ["registers", "shared", "barriers", "spills", "local"]


def report(text):
    """What `ptxas -v` says of each kernel, and of each function that was not inlined."""
    found, name = {}, None
    for line in text.splitlines():
        entry = re.search(r"Compiling entry function '(\S+)'", line)
        if entry:
            found[entry[1]] = dict.fromkeys(COLUMNS, 0)
        function = re.search(r"Function properties for '?([^\s']+)", line)
        if function:
            name = function[1]
            found.setdefault(name, {**dict.fromkeys(COLUMNS, "-"), "spills": 0, "local": 0})
        if name is None:
            continue
        use = found[name]
        for key, pattern in [
            ("registers", r"Used (\d+) registers"),
            ("barriers", r"used (\d+) barriers"),
            ("shared", r"(\d+) bytes smem"),
            ("local", r"(\d+) bytes (?:stack frame|cumulative stack size|lmem)"),
        ]:
            for number in re.findall(pattern, line):
                use[key] = max(int(number), use[key] if use[key] != "-" else 0)
        use["spills"] += sum(map(int, re.findall(r"(\d+) bytes spill (?:stores|loads)", line)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["generate", "check", "resources", "setup"])
    parser.add_argument("tools", metavar="DIR", nargs="?", type=pathlib.Path, default=TOOLS, help="target/cuda-tools")
    arguments = parser.parse_args()
    commands = {"generate": generate, "check": check, "resources": resources, "setup": setup}
    try:
        commands[arguments.command](arguments.tools.absolute())
    except Unavailable as error:
        print(f"ptx.py: {error}", file=sys.stderr)
        return 3
    except Fault as error:
        print(f"ptx.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
