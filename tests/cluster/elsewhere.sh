#!/usr/bin/env bash
# A batch system of machines that share nothing: elsewhere.sh submit FOLDER JOBSCRIPT | status
# FOLDER JOB. Each job runs in a folder of its own, as a user whom no file knows, without a home and with everything read-only but its folder.
# FOLDER may have what lies there first in FOLDER/image, and a store in FOLDER/store.
set -euo pipefail

inside() {
  # Everything read-only but the job's own folder, and FOLDER/store for a store that is a folder.
  mount --bind "$1" "$1"
  ! [ -d "$3" ] || mount --bind "$3" "$(realpath "$3")"
  mount -o remount,bind,ro /
  ! mountpoint -q /tmp || mount -o remount,bind,ro /tmp
  cd "$1"
  exec unshare --user --map-user=12345 --map-group=12345 \
    env --unset=PYTHONPATH USER=vdiff HOME=/nonexistent TMPDIR="$1/tmp" bash "$2"
}

submit() {
  local folder=$1 job
  mkdir -p "$folder/jobs"
  job=$(mktemp -d "$folder/jobs/XXXXXXXX")
  if [ -d "$folder/image" ]; then cp -r --preserve=timestamps "$folder/image" "$job/work"; else mkdir "$job/work"; fi
  mkdir "$job/work/tmp"
  cp "$2" "$job/script.sh"
  (
    code=0
    unshare --user --map-root-user --mount bash "$0" inside "$job/work" "$job/script.sh" "$folder/store" \
      >"$job/output.txt" 2>&1 </dev/null || code=$?
    echo "$code" >"$job/code.new"
    mv "$job/code.new" "$job/code"
  ) </dev/null >/dev/null 2>&1 &
  basename "$job"
}

status() {
  local code="$1/jobs/$2/code"
  if [ ! -e "$code" ]; then echo running; elif [ "$(cat "$code")" = 0 ]; then echo success; else echo failed; fi
}

"$@"
