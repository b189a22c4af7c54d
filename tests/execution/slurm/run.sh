#!/usr/bin/env bash
# A real Slurm on this machine alone, started in a folder of its own, used by check.py, and stopped.
# Skips with a reason where Slurm is neither installed nor can be.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"

skip() { echo "slurm: skipped: $1"; exit 0; }
if ! command -v slurmctld slurmd munged mungekey > /dev/null; then
  [ "$(id -u)" = 0 ] || skip "slurm-wlm and munge are not installed, and only root can do that"
  command -v apt-get > /dev/null || skip "slurm-wlm and munge are not installed, and there is no apt-get"
  DEBIAN_FRONTEND=noninteractive timeout 300 bash -c 'apt-get update && apt-get install -y slurm-wlm munge' > /dev/null 2>&1 \
    || skip "apt-get can't install slurm-wlm and munge"
fi
[ "$(id -u)" = 0 ] || skip "slurmd starts jobs as root alone"

room="$(mktemp -d)"
daemons=()
stop() {
  for daemon in "${daemons[@]}"; do kill "$daemon" 2> /dev/null || true; done
  for daemon in "${daemons[@]}"; do wait "$daemon" 2> /dev/null || true; done
  if [ "${failed:-1}" = 1 ]; then tail -n 50 "$room"/*.log >&2 || true; fi
  rm -rf "$room"
}
trap stop EXIT

chmod 755 "$room"
mkdir "$room/state" "$room/spool"
host="$(hostname -s)"
cat > "$room/slurm.conf" << CONF
ClusterName=fgbench
SlurmctldHost=$host(localhost)
SlurmUser=root
AuthType=auth/munge
# a job that is requeued waits until its credential has expired: ten seconds in place of two minutes
AuthInfo=socket=$room/munge.socket,cred_expire=10
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$room/slurmctld.pid
SlurmdPidFile=$room/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
StateSaveLocation=$room/state
SlurmdSpoolDir=$room/spool
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName=$host NodeAddr=localhost CPUs=$(nproc) RealMemory=1000 State=UNKNOWN
PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$room/slurm.conf"

mungekey --create --keyfile "$room/munge.key"
munged --foreground --force --key-file "$room/munge.key" --socket "$room/munge.socket" --pid-file "$room/munge.pid" \
  --seed-file "$room/munge.seed" --log-file "$room/munge.log" > /dev/null 2>&1 &
daemons+=($!)
until [ -S "$room/munge.socket" ]; do kill -0 "${daemons[0]}"; sleep 0.1; done
slurmctld -D -L "$room/slurmctld.log" > /dev/null 2>&1 &
daemons+=($!)
slurmd -D -L "$room/slurmd.log" > /dev/null 2>&1 &
daemons+=($!)
timeout 60 bash -c 'until sinfo --noheader --format %T 2> /dev/null | grep -q idle; do sleep 0.5; done' \
  || { failed=0; skip "its daemons are installed, but no node comes up here"; }

"${PYTHON:-python}" "$here/check.py" "$room"
failed=0
