#!/usr/bin/env bash
# Runs everything that needs a GPU, with what kernels/gpu-pack.sh built; no cargo is needed here:
#
#   kernels/gpu.sh DIR OUT
#
# DIR holds the binaries. OUT gets a log of each step, the files of `dftsp compare` and summary.txt. Fails if any step
# does. At most 8 minutes; DFTSP_GPU_PATIENCE=3 gives each step three times as long.
#
# Tests see DFTSP_CUDA_REQUIRED=1: whoever would skip for want of a device fails. Under compute-sanitizer they also see
# DFTSP_CUDA_INSTANCES=200, for a shorter run.
set -uo pipefail
if [[ $# != 2 || ! -d $1 ]]; then
  echo "usage: kernels/gpu.sh DIR OUT, where DIR holds what kernels/gpu-pack.sh built" >&2
  exit 2
fi
mkdir -p "$2" || exit 2
dir=$(realpath "$1")
out=$(realpath "$2")
cd "$(dirname "$0")/.." || exit 2
export LC_ALL=C
patience=${DFTSP_GPU_PATIENCE:-1}
export DFTSP_CUDA_REQUIRED=1 CRITERION_HOME="$out/criterion"
summary=$out/summary.txt
failures=0
printf '%-14s %-8s %8s  %s\n' step result seconds note >"$summary"

result() { # STEP RESULT SECONDS NOTE
  printf '%-14s %-8s %8s  %s\n' "$1" "$2" "$3" "$4" | tee -a "$summary"
  [[ $2 != FAIL ]] || failures=$((failures + 1))
}

# Runs a command under a time limit; its output goes to OUT/STEP.log.
step() { # STEP SECONDS COMMAND...
  local name=$1 limit=$(($2 * patience)) log=$out/$1.log status=0 note="" begin=$EPOCHREALTIME seconds
  shift 2
  printf '\n== %s: %s\n' "$name" "$*"
  if [[ $1 == "$dir"/* && ! -x $1 ]]; then
    result "$name" FAIL - "there is no ${1#"$dir"/} in DIR"
    return
  fi
  timeout -k 5 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
  seconds=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
  tail -n 40 "$log"
  case $status in
    0) ;;
    124 | 137) note="not done in $limit s" ;;
    *) note="exit status $status" ;;
  esac
  case $name in
    devices)
      # `"usable"` of the whole list is not as far to the right as that of each device.
      if [[ -z $note ]] && ! grep -q '^  "usable": true' "$log"; then
        note="no device is usable: $(sed -n 's/^  "reason": "\(.*\)",$/\1/p' "$log")"
      fi
      ;;
    cuda-* | memcheck | racecheck)
      # Tests that are not run find no fault.
      if [[ -z $note ]] && ! grep -qE 'test result: ok\. [1-9][0-9]* passed' "$log"; then note="no test ran"; fi
      if [[ -z $note ]] && grep -q 'SKIPPED' "$log"; then note="a test skipped itself"; fi
      ;;
  esac
  case $name in
    memcheck | racecheck)
      if grep -q 'Device not supported' "$log"; then
        result "$name" SKIPPED "$seconds" "compute-sanitizer does not support this device"
        return
      fi
      if [[ $status == 97 ]]; then note=$(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$log" | tail -n 1); fi
      ;;
  esac
  if [[ -z $note ]]; then result "$name" PASS "$seconds" ""; else result "$name" FAIL "$seconds" "$note"; fi
}

facts() {
  local fields=name,driver_version,compute_cap,memory.total,clocks.sm,clocks.max.sm,clocks.max.mem,power.limit
  nvidia-smi --query-gpu=$fields --format=csv || true
  nvidia-smi
}

if command -v nvidia-smi >/dev/null; then
  export -f facts
  step nvidia-smi 15 bash -c facts
else
  result nvidia-smi SKIPPED - "there is no nvidia-smi"
fi
step devices 15 "$dir/dftsp" devices --format json
step cuda-tests 100 "$dir/cuda-tests" --show-output
for tests in "$dir"/cuda-*; do
  name=${tests##*/}
  # The limits of all steps of the default set sum to less than 8 minutes; further tests are on top.
  [[ ! -x $tests || $name == cuda-tests ]] || step "$name" 60 "$tests" --show-output
done

sanitizer=$(PATH=$PATH:/usr/local/cuda/bin:/opt/cuda/bin command -v compute-sanitizer)
export DFTSP_CUDA_INSTANCES=200
for tool in memcheck racecheck; do
  if [[ ! -x $dir/cuda-tests ]]; then
    result "$tool" FAIL - "there is no cuda-tests in DIR"
  elif [[ -z $sanitizer ]]; then
    result "$tool" SKIPPED - "there is no compute-sanitizer"
  else
    options=(--tool "$tool" --error-exitcode 97)
    # Calls that fail are for the tests to judge; this looks at what kernels do.
    [[ $tool != memcheck ]] || options+=(--report-api-errors no)
    step "$tool" 80 "$sanitizer" "${options[@]}" "$dir/cuda-tests" --show-output --test-threads 1
  fi
done
unset DFTSP_CUDA_INSTANCES
step compare 60 "$dir/dftsp" compare --out "$out/compare"
step bench 90 "$dir/cuda_bench" --bench

printf '\n'
cat "$summary"
if ((failures)); then
  echo "FAIL: $failures steps"
  exit 1
fi
if grep -qE '^[^ ]+ +SKIPPED' "$summary"; then echo "PASS, with steps SKIPPED"; else echo "PASS"; fi
