#!/usr/bin/env bash
# Builds what kernels/gpu.sh runs and puts it, stripped, into a folder:
#
#   kernels/gpu-pack.sh DIR
#
#   dftsp        the program
#   cuda-tests   tests/cuda.rs; tests/cuda_NAME.rs becomes cuda-NAME
#   cuda_bench   the bench of that name, or of the name cuda
#
# Needs cargo, python3 and strip. The machine that runs them needs none of these, but a checkout: tests may read files.
set -euo pipefail
[[ $# == 1 && $1 != -* ]] || { echo "usage: kernels/gpu-pack.sh DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(realpath "$1")
cd "$(dirname "$0")/.."
limit=$((64 << 20))

# The targets that there are, as `test NAME` and `bench NAME`.
targets=$(cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
package = next(package for package in json.load(sys.stdin)["packages"] if package["name"] == "dftsp")
for target in package["targets"]:
    kind, name = target["kind"][0], target["name"]
    test, bench = name == "cuda" or name.startswith("cuda_"), name in ("cuda", "cuda_bench")
    if kind == "test" and test or kind == "bench" and bench:
        print(kind, name)')
build() { cargo "$@" --locked --message-format=json-render-diagnostics; }
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT
build build --release --bin dftsp >"$messages"
missing="test bench"
while read -r kind name; do
  [[ -n $kind ]] || continue
  missing=${missing/$kind/}
  case $kind in
    test) build test --release --no-run --test "$name" ;;
    bench) build bench --no-run --bench "$name" ;;
  esac
done <<<"$targets" >>"$messages"

rm -f "$dir"/dftsp "$dir"/cuda-* "$dir"/cuda_bench
python3 - "$messages" <<'E2' | while IFS=$'\t' read -r name path; do strip -o "$dir/$name" "$path"; done
import json, sys
found = {}
for line in open(sys.argv[1]):
    message = json.loads(line)
    path = message.get("executable")
    if message["reason"] != "compiler-artifact" or not path:
        continue
    kind, name = message["target"]["kind"][0], message["target"]["name"]
    if kind == "bin":
        found[name] = path
    elif kind == "test":
        found["cuda-tests" if name == "cuda" else name.replace("_", "-", 1)] = path
    elif kind == "bench":
        found["cuda_bench"] = path
for name, path in found.items():
    print(name, path, sep="\t")
E2

if [[ -n ${missing// /} ]]; then
  echo "gpu-pack.sh: no $missing is named cuda, and kernels/gpu.sh needs it" >&2
  exit 1
fi
size=$(cat "$dir"/dftsp "$dir"/cuda[-_]* 2>/dev/null | wc -c)
ls -l "$dir"
if ((size > limit)); then
  echo "gpu-pack.sh: $size bytes are more than $limit" >&2
  exit 1
fi
