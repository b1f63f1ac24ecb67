#!/usr/bin/env bash
# Run the tests with the lowest and with the highest versions that pyproject.toml allows, each in an environment of its own.
#
#     tests/benchmarks/ends.sh lowest /tmp/lowest -q tests/test_jets.py     # an end, a directory to make, options of pytest
#     PYTHON=python3.13 tests/benchmarks/ends.sh highest /tmp/highest
#
# Needs uv (pip install uv). Versions of what our dependencies depend on are the newest in both.
set -euo pipefail
end=${1:?lowest or highest} where=$(realpath -m "${2:?a directory to make}")
shift 2
case $end in
  lowest) resolution=lowest-direct ;;
  highest) resolution=highest ;;
  *) echo "$end: lowest or highest"; exit 2 ;;
esac
cd "$(dirname "$0")/../.."
"${PYTHON:-python3}" -m venv "$where"
uv pip compile -q --no-header --no-annotate --python "$where/bin/python" --resolution $resolution --extra dev pyproject.toml > "$where/versions.txt"
uv pip install -q --python "$where/bin/python" -r "$where/versions.txt"
uv pip install -q --python "$where/bin/python" --no-deps -e .
"$where/bin/python" -m pytest "$@"
