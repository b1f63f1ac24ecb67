#!/usr/bin/env bash
# Run the tests with the lowest and with the highest versions that pyproject.toml allows, each in an environment of its own.
#
#     tests/benchmarks/ends.sh lowest /tmp/lowest -q tests/test_jets.py     # an end, a directory to make, options of pytest
#     PYTHON=python3.13 tests/benchmarks/ends.sh highest /tmp/highest
#
# Lowest are the dependencies that pyproject.toml names; what these depend on is the newest that goes with them.
set -euo pipefail
end=${1:?lowest or highest} where=$(realpath -m "${2:?a directory to make}")
shift 2
cd "$(dirname "$0")/../.."
"${PYTHON:-python3.11}" -m venv "$where"
case $end in
  lowest)
    "$where/bin/python" - > "$where/constraints.txt" << 'PYTHON'
import re
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
for one in sorted({*project["dependencies"], *project["optional-dependencies"]["dev"]}):
    name, least = re.match(r"([\w-]+)>=([\d.]+)", one).groups()
    print(f"{name}=={least}.*" if least.count(".") < 2 else f"{name}=={least}")
PYTHON
    ;;
  highest) : > "$where/constraints.txt" ;;
  *) echo "$end: lowest or highest"; exit 2 ;;
esac
"$where/bin/pip" install -q -c "$where/constraints.txt" -e '.[dev]'
"$where/bin/python" -m pytest "$@"
