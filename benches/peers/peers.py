"""Seconds to the proven optimum: dftsp against what one would use instead, on the same integers.

    python benches/peers/peers.py --help

See README.md beside this file.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

sys.dont_write_bytecode = True  # no cache beside the sources

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ["uplink", "downlink", "kv_tokens", "compute"]
PEERS = {
    "cp-sat": "CP-SAT, chain",
    "highs": "HiGHS, chain",
    "scip": "SCIP, chain",
    "sweep": "Lagrangian sweep (Python) + CP-SAT leaves",
}
OURS = "dftsp"
REPEAT_BELOW = 1.0  # seconds; a peer that is faster gets two more runs in its process, and the best counts


# The problem, from the exact integers of an OPB file


@dataclass
class Problem:
    """Costs by resource (one row each), three capacities, and the deadline budget of each request."""

    cost: np.ndarray
    capacity: np.ndarray
    budget: np.ndarray
    rows: list  # of the model: coefficients, variables counted from 0, limit; the resources first
    implications: list  # pairs (a, b) of variables: a <= b

    def fits(self, batch):
        used = [sum(int(c) for c in column[batch]) for column in self.cost]
        tightest = min((int(self.budget[i]) for i in batch), default=0)
        return all(u <= int(c) for u, c in zip(used, self.capacity)) and used[3] <= tightest


def read_opb(path):
    """Reads what `dftsp export --format opb` writes: numbers below 2^63 and variables x1, x2, ..."""
    names, x, rows, implications = [], 0, [], []
    with open(path, encoding="ascii") as lines:
        for line in lines:
            if line.startswith("* rows: "):
                names = [name for name in line.split()[2:] if name != "none"]
            elif line.startswith("min:"):
                x = line.count("x")
            elif not line.startswith("*"):
                tokens = line.split()  # coefficient, variable, ..., >=, limit, ;
                variables = [int(token[1:]) - 1 for token in tokens[1:-3:2]]
                if len(rows) < len(names):
                    # As a row of <=.
                    rows.append(([-int(token) for token in tokens[0:-3:2]], variables, -int(tokens[-2])))
                else:
                    implications.append((variables[1], variables[0]))  # +1 b -1 a >= 0
    cost, capacity = np.zeros((4, x), dtype=np.int64), np.zeros(3, dtype=np.int64)
    budget = np.zeros(x, dtype=np.int64)
    for name, (coefficients, variables, limit) in zip(names, rows):
        r, steps = RESOURCES.index(name), {}
        for coefficient, variable in zip(coefficients, variables):
            if variable < x:
                cost[r, variable] = coefficient
            else:
                steps[variable] = coefficient
        if name != "compute":
            capacity[r] = limit
            continue
        # The budget of run k is that of the first less the steps up to k.
        left = {}
        for variable in sorted(steps):
            left[variable] = limit = limit - steps[variable]
        budget[:] = rows[names.index("compute")][2]
        for a, b in implications:
            if a < x:
                budget[a] = left[b]
    return Problem(cost, capacity, budget, rows, implications)


# The peers: each gets its model ready, and the function that it returns is timed


def cp_sat(stem, problem, limit):
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    count = 1 + max((v for row in problem.rows for v in row[1]), default=len(problem.budget) - 1)
    v = [model.new_bool_var("") for _ in range(max(count, len(problem.budget)))]
    for coefficients, variables, bound in problem.rows:
        model.add(cp_model.LinearExpr.weighted_sum([v[j] for j in variables], coefficients) <= bound)
    for a, b in problem.implications:
        model.add_implication(v[a], v[b])
    x = v[: len(problem.budget)]
    model.maximize(cp_model.LinearExpr.sum(x))

    def run():
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_time_in_seconds = limit
        status = solver.solve(model)
        found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
        batch = [i for i, variable in enumerate(x) if solver.value(variable)] if found else []
        # With nothing found, its bound means nothing.
        bound = whole(solver.best_objective_bound, problem) if found else len(x)
        return batch, bound, status == cp_model.OPTIMAL

    return lambda: run


def highs(stem, problem, limit):
    import highspy

    def ready():
        solver = highspy.Highs()
        options = {"output_flag": False, "threads": 1, "parallel": "off", "time_limit": limit}
        # Sizes are whole, so a gap below one is a proof.
        options |= {"mip_rel_gap": 0.0, "mip_abs_gap": 0.99}
        for option, value in options.items():
            solver.setOptionValue(option, value)
        solver.readModel(f"{stem}.mps")
        index = {solver.getColName(j)[1]: j for j in range(solver.getNumCol())}

        def run():
            solver.run()
            optimal = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
            values = solver.getSolution().col_value
            batch = [i for i in range(len(problem.budget)) if values and values[index[f"x{i + 1}"]] > 0.5]
            bound = -solver.getInfo().mip_dual_bound
            return batch, len(batch) if optimal else whole(bound, problem), optimal

        return run

    return ready


def scip(stem, problem, limit):
    import pyscipopt

    def ready():
        model = pyscipopt.Model()
        model.hideOutput()
        model.setParam("limits/time", limit)
        model.setParam("lp/threads", 1)
        model.readProblem(f"{stem}.lp")
        x = {variable.name: variable for variable in model.getVars()}

        def run():
            model.optimize()
            batch = []
            if model.getNSols():
                best = model.getBestSol()
                batch = [i for i in range(len(problem.budget)) if best[x[f"x{i + 1}"]] > 0.5]
            return batch, whole(model.getDualbound(), problem), model.getStatus() == "optimal"

        return run

    return ready


def sweep(stem, problem, limit):
    from sweep import Sweep

    def run():
        batch, bound, proven = Sweep(problem, limit).solve()
        return batch.tolist(), bound, proven

    return lambda: run


def whole(bound, problem):
    """A bound as a whole number, at most the number of requests."""
    most = len(problem.budget)
    return int(bound + 1e-6) if bound < most else most


def child(name, stem, limit):
    """Runs one peer in this process and prints what it found."""
    problem = read_opb(f"{stem}.opb")
    ready = {"cp-sat": cp_sat, "highs": highs, "scip": scip, "sweep": sweep}[name](stem, problem, limit)
    seconds = []
    while not seconds or (seconds[0] < REPEAT_BELOW and len(seconds) < 3):
        run = ready()
        start = time.perf_counter()
        batch, bound, proven = run()
        seconds.append(time.perf_counter() - start)
    result = {"size": len(batch), "bound": bound, "proven": proven, "seconds": min(seconds)}
    print(json.dumps(result | {"fits": problem.fits(batch)}))


# Instances and runs


def prepare(args, folder, size, seed):
    """Writes one instance in all forms. Returns the stem of their names."""
    stem = folder / f"{size}-{seed}"
    csv_file, scenario = f"{stem}.requests.csv", f"{stem}.toml"
    generate = ["generate", "binding", "--requests", size, "--seed", seed, *args.generate.split()]
    command(args.bin / "dftsp", *generate, "--output", csv_file, "--scenario-output", scenario)
    for form in ("opb", "mps", "lp"):
        epoch = ["--scenario", scenario, "--requests", csv_file]
        export = ["export", "--format", form, "--coarsen", args.bits, *epoch, "--output", f"{stem}.{form}"]
        command(args.bin / "dftsp", *export)
    problem = read_opb(f"{stem}.opb")
    with open(f"{stem}.columns.csv", "w", newline="", encoding="ascii") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*RESOURCES, "budget"])
        writer.writerows(np.vstack([problem.cost, problem.budget]).T.tolist())
    return stem, problem


def command(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(word) for word in words)}\n{done.stderr}")
    return done.stdout


def run_ours(args, stem, problem):
    start = time.perf_counter()
    line = command(args.bin / "examples" / "columns", f"{stem}.columns.csv", *problem.capacity, args.limit)
    process = time.perf_counter() - start
    result = json.loads(line)
    proven, fits = result["size"] == result["bound"], problem.fits(result.pop("batch"))
    return result | {"proven": proven, "process": process, "fits": fits}


def run_peer(args, name, stem):
    words = [sys.executable, __file__, "--child", name, stem, "--limit", args.limit]
    try:
        # Solvers look at the clock when they can; reading and model building come on top.
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=3 * args.limit + 300)
    except subprocess.TimeoutExpired:
        return {"size": 0, "bound": None, "proven": False, "seconds": args.limit, "fits": True}
    if done.returncode != 0:
        sys.exit(f"{name} on {stem} failed:\n{done.stdout}{done.stderr}")
    # Solvers may print before.
    return json.loads(done.stdout.splitlines()[-1])


def disagreements(ours, peer):
    """What two results say that cannot both be true."""
    if not ours["fits"]:
        yield "our batch does not fit"
    if peer["proven"] and ours["proven"] and peer["size"] != ours["size"]:
        yield f"proven {peer['size']}, ours {ours['size']}"
    if peer["fits"] and peer["size"] > ours["bound"]:
        yield f"a batch of {peer['size']}, our bound is {ours['bound']}"
    if peer["bound"] is not None and peer["bound"] < ours["size"]:
        yield f"a bound of {peer['bound']}, our batch has {ours['size']}"


# The table


def shown(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 0.9995:
            return f"{float(f'{seconds * factor:.3g}'):g} {unit}"
    return f"{float(f'{seconds * 1e6:.3g}'):g} µs"


def cell(results, limit, key="seconds"):
    if not results:
        return "–"
    times = sorted(r[key] if r["proven"] else float("inf") for r in results)
    median = statistics.median_high(times)
    unproven = [r for r in results if not r["proven"]]
    if median == float("inf"):
        shows = unproven[len(unproven) // 2]
        return f"{limit:g} s: {shows['size']}/{shows['bound'] if shows['bound'] is not None else '?'}"
    return shown(median) + (f" ({len(unproven)} of {len(results)} not proven)" if unproven else "")


def versions():
    packages = {"CP-SAT (OR-Tools)": "ortools", "HiGHS": "highspy", "PySCIPOpt": "pyscipopt", "SciPy": "scipy"}
    listed = [f"{name} {metadata.version(package)}" for name, package in packages.items()]
    import pyscipopt

    model = pyscipopt.Model()
    number = f"{model.getMajorVersion()}.{model.getMinorVersion()}.{model.getTechVersion()}"
    return ", ".join([*listed, f"SCIP {number}", f"Python {sys.version.split()[0]}"])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser.add_argument("--sizes", type=numbers, default=[50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000])
    parser.add_argument("--seeds", type=numbers, default=[1, 2, 3])
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for each run")
    parser.add_argument("--solvers", type=lambda text: text.split(","), default=list(PEERS), help=", ".join(PEERS))
    parser.add_argument("--bits", type=int, default=20, help="of the exported integers (dftsp export --coarsen)")
    parser.add_argument("--generate", default="", help="more options of dftsp generate, such as '--channel shared'")
    parser.add_argument("--folder", type=Path, help="keep the instances here")
    parser.add_argument("--bin", type=Path, help="folder with dftsp and examples/columns; built with cargo without it")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.solvers) - set(PEERS):
        parser.error(f"unknown solvers {', '.join(sorted(unknown))}; give some of {', '.join(PEERS)}")
    return args


def main():
    args = arguments()
    if args.child:
        return child(*args.child, args.limit)
    if args.bin is None:
        for what in (["--bin", "dftsp"], ["--example", "columns"]):
            subprocess.run(["cargo", "build", "--release", "--quiet", *what], cwd=ROOT, check=True)
        args.bin = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    results, wrong, late = {}, [], set()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for size in args.sizes:
            for seed in args.seeds:
                stem, problem = prepare(args, folder, size, seed)
                ours = run_ours(args, stem, problem)
                results.setdefault((OURS, size), []).append(ours)
                print(f"{size} requests, seed {seed}: {OURS} {ours}", file=sys.stderr)
                for name in (name for name in args.solvers if name not in late):
                    peer = run_peer(args, name, stem)
                    results.setdefault((name, size), []).append(peer)
                    print(f"{size} requests, seed {seed}: {name} {peer}", file=sys.stderr)
                    wrong += [f"{size} requests, seed {seed}, {name}: {what}" for what in disagreements(ours, peer)]
                    if not peer["fits"]:
                        print("caution: its batch does not fit in exact integers", file=sys.stderr)
            # A monolithic model that ran out of time will do so on more requests.
            late |= {name for name in args.solvers if name != "sweep" and is_late(results.get((name, size), []))}
    report(args, results)
    for line in wrong:
        print(f"disagreement: {line}", file=sys.stderr)
    return 1 if wrong else 0


def is_late(results):
    return 2 * sum(not r["proven"] for r in results) > len(results)


def report(args, results):
    limit, sizes = args.limit, args.sizes
    seeds = ", ".join(map(str, args.seeds))
    print(f"{versions()}; one thread, {limit:g} s, median of seeds {seeds}, {args.bits} bits\n")
    print("| | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    rows = [(PEERS[name], [cell(results.get((name, size), []), limit) for size in sizes]) for name in args.solvers]
    for label, key in ((OURS, "seconds"), ("dftsp, whole process", "process")):
        rows.append((label, [cell(results[OURS, size], limit, key) for size in sizes]))
    largest = [", ".join(str(r["size"]) for r in results[OURS, size]) for size in sizes]
    for label, cells in [*rows, ("largest batch", largest)]:
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
