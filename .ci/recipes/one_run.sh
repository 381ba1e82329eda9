#!/usr/bin/env bash
# Recipe a: one job, `playground run` for all parties, with a JUnit report and artefacts.
#
#   one_run.sh fed_avg --parties 3 -p max_rounds=2
#
# RESULTS (default ci-results): the folder with junit.xml, the executed notebooks, logs.jsonl, metrics.csv, the model.
# SECONDS_ALLOWED (default 1800): the run is stopped after so long.
set -euo pipefail

template=${1:-fed_avg}
[ $# -eq 0 ] || shift

exec playground run "$template" --output "${RESULTS:-ci-results}" --timeout "${SECONDS_ALLOWED:-1800}" "$@"
