#!/usr/bin/env bash
# Write packaging/tests.txt anew: the newest versions that pyproject.toml allows, in an environment of the least Python.
#
#     tests/benchmarks/lock.sh /tmp/lock     # a directory to make
#
# Packages that a platform adds, as torch's CUDA libraries, are left out, and so are local versions such as +cpu.
set -euo pipefail
where=$(realpath -m "${1:?a directory to make}")
cd "$(dirname "$0")/../.."
"${PYTHON:-python3.11}" -m venv "$where"
"$where/bin/pip" install -q -e '.[dev]'
lock=packaging/tests.txt
{
  sed -n '/^#/p' $lock
  "$where/bin/pip" freeze --exclude-editable | tr '[:upper:]' '[:lower:]' | sed 's/+.*//' | grep -Ev '^(nvidia|cuda|triton|setuptools)' | sort
} > "$where/tests.txt"
mv "$where/tests.txt" $lock
