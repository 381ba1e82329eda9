#!/usr/bin/env bash
# Recipe b: one job, one plain papermill per party in the background; fails when any of them fails.
#
#   COLLABORATORS=2 all_parties.sh -p max_rounds 2
#
# Settings: those of one_party.sh, which runs each of them. Without PLAYGROUND_REDIS_URL they share a server of this job.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export RESULTS=${RESULTS:-ci-results} COLLABORATORS=${COLLABORATORS:-2} TASK=${TASK:-ci-$$}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # several parties share this machine
mkdir -p "$RESULTS"
RESULTS=$(cd "$RESULTS" && pwd)
export PLAYGROUND_WORKSPACE=${PLAYGROUND_WORKSPACE:-$RESULTS} # whoever names the same folder meets at the same server

pids=() names=()
begin() {
  "$here/one_party.sh" "$@" >"$RESULTS/$1-$2.log" 2>&1 &
  pids+=($!)
  names+=("$1-$2")
}
finish() {
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait
  [ -n "${PLAYGROUND_REDIS_URL:-}" ] || playground server stop
}
trap finish EXIT
trap 'exit 130' INT TERM

begin aggregator 1 "$@"
for index in $(seq "$COLLABORATORS"); do
  begin collaborator "$index" "$@"
done

# A party that fails tells the others, which then end by themselves: so everyone is waited for, in any order.
status=0
for number in "${!pids[@]}"; do
  if wait "${pids[$number]}"; then
    echo "${names[$number]}: ok"
  else
    status=1
    echo "${names[$number]}: failed. Its last lines:"
    tail -n 25 "$RESULTS/${names[$number]}.log"
  fi
done
pids=()
exit $status
