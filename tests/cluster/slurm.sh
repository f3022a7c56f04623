#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests: slurm.sh install | start FOLDER | stop FOLDER |
# node-down FOLDER | node-up | ready. Debian, root. It binds nothing but loopback, keeps its files
# in FOLDER, but for links in /etc/slurm until it stops, and pretends that /dev/zero is a GPU.
set -euo pipefail

say() { echo "slurm.sh: $*" >&2; exit 1; }
folder() { [ -n "${2:-}" ] || say "give a folder after $1."; mkdir -p "$2"; (cd "$2" && pwd); }

install() {
  command -v slurmctld slurmd sbatch munged >/dev/null && return
  (apt-get update -qq && apt-get install --yes --no-install-recommends \
    slurmctld slurmd slurm-client munge) >/dev/null 2>&1 || say "apt-get could not install Slurm."
}

write_conf() {
  local host=$1 at=$2 cpus memory
  cpus=$(nproc)
  memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 * 3 / 4))
  mkdir -p "$at/state" "$at/spool" "$at/log"
  echo "NodeName=$host Name=gpu File=/dev/zero" >"$at/gres.conf"
  cat >"$at/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${SLURMCTLD_PORT:-16817}
SlurmdPort=${SLURMD_PORT:-16818}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$at/jobcomp.txt
JobAcctGatherType=jobacct_gather/linux
MpiDefault=none
ReturnToService=2
GresTypes=gpu
SchedulerParameters=sched_interval=2,bf_interval=5
SlurmdTimeout=10
MinJobAge=60
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
StateSaveLocation=$at/state
SlurmdSpoolDir=$at/spool
SlurmctldPidFile=$at/slurmctld.pid
SlurmdPidFile=$at/slurmd.pid
SlurmctldLogFile=$at/log/slurmctld.log
SlurmdLogFile=$at/log/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory Gres=gpu:1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
}

start_munge() {
  pgrep -x munged >/dev/null && return
  mkdir -p /run/munge
  chown -R munge: /etc/munge /run/munge /var/lib/munge /var/log/munge
  runuser -u munge -- munged </dev/null
}

start() {
  local at host
  at=$(folder start "$@")
  host=$(hostname -s)
  write_conf "$host" "$at"
  start_munge
  # Where jobs find it: Snakemake's job steps drop the variable SLURM_CONF.
  mkdir -p /etc/slurm
  for name in slurm.conf gres.conf; do
    [ -L "/etc/slurm/$name" ] || [ ! -e "/etc/slurm/$name" ] || say "/etc/slurm/$name is in use."
    ln -sfn "$at/$name" "/etc/slurm/$name"
  done
  slurmctld -c </dev/null
  slurmd </dev/null
  ready
}

# Wait until the node takes jobs; one that Slurm has drained after a fault is called back.
ready() {
  for _ in $(seq 120); do
    case "$(sinfo --noheader --partition=main --format=%T 2>/dev/null)" in
    idle | mixed | allocated) return ;;
    drain* | down*) scontrol update "NodeName=$(hostname -s)" State=RESUME 2>/dev/null || true ;;
    esac
    sleep 0.5
  done
  sinfo --list-reasons >&2
  cat "$(dirname "$(readlink /etc/slurm/slurm.conf)")"/log/*.log >&2
  say "the node took no jobs within 60 s."
}

# Slurm still sends the kill of the jobs that the node had lost, to whatever runs under their
# numbers by then; it is why requeued jobs are held back, and why this waits.
node_up() { slurmd </dev/null; ready; sleep 5; ready; }

stop_by() { [ -f "$1" ] && kill "${2:--TERM}" "$(cat "$1")" 2>/dev/null || true; }

case "${1:-}" in
install) install ;;
start) install; start "${@:2}" ;;
stop)
  at=$(folder stop "${@:2}")
  scancel --user=root 2>/dev/null || true
  stop_by "$at/slurmd.pid"; stop_by "$at/slurmctld.pid"
  rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
  ;;
node-down) stop_by "$(folder node-down "${@:2}")/slurmd.pid" -KILL ;;
node-up) node_up ;;
ready) ready ;;
*) say "say install, start, stop, node-down, node-up or ready." ;;
esac
