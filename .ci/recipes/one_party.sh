#!/usr/bin/env bash
# Recipe c: one party of a task with plain papermill. Every party has its own job; all meet at PLAYGROUND_REDIS_URL.
#
#   TASK=ci-4711 COLLABORATORS=2 one_party.sh aggregator
#   TASK=ci-4711 COLLABORATORS=2 one_party.sh collaborator 2 -p batch_size 64
#
# TASK: one name for the whole task, new for every pipeline. COLLABORATORS: how many take part.
# NOTEBOOKS (default templates/fed_avg): the folder with <role>.ipynb. RESULTS (default ci-results): executed notebooks.
# PLAYGROUND_CHECK_IN_TIMEOUT: seconds that the parties wait for one another; jobs may start minutes apart.
set -euo pipefail

role=${1:?which role: aggregator, or collaborator with a number from 1}
shift
index=1
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
  index=$1
  shift
fi
task=${TASK:?set TASK to one name for the whole task, such as ci-\$CI_PIPELINE_ID}
notebooks=${NOTEBOOKS:-templates/fed_avg}
results=${RESULTS:-ci-results}
party=$role
[ "$role" = aggregator ] || party=$role-$index

mkdir -p "$results"
results=$(cd "$results" && pwd)
export PLAYGROUND_HOME=${PLAYGROUND_HOME:-$results/parties}
# papermill says "Executing: 40%" on the terminal only; the log of a job gets what the notebook prints.
exec papermill "$notebooks/$role.ipynb" "$results/$party.ipynb" --cwd "$notebooks" --log-output --no-progress-bar \
  -p task_id "$task" -p party_index "$index" -p collaborators "${COLLABORATORS:-2}" "$@"
