#!/bin/sh
# Handler for nightly.yaml: archives folder $1 as $2/JOB.tar.gz. Exit codes are sysexits.h: 65 and 66 fail the job for
# good, 73, 74 and 75 are tried again. What is printed is the job's result, and must be JSON to be more than a text.
set -eu

EX_DATAERR=65
EX_NOINPUT=66
EX_CANTCREAT=73
EX_IOERR=74

from=$1 to=$2
[ -d "$from" ] || { echo "there is no folder $from" >&2; exit "$EX_NOINPUT"; }
[ -w "$to" ] || { echo "cannot write to $to" >&2; exit "$EX_CANTCREAT"; }

case $DROVER_JOB_ID in
.* | *[!A-Za-z0-9_.-]*) echo "\"$DROVER_JOB_ID\" is no name for a file" >&2; exit "$EX_DATAERR" ;;
esac
# The name is the job's, so that a second attempt writes the same file; it is in its place only when it is whole.
archive=$to/$DROVER_JOB_ID.tar.gz
draft=$to/.$DROVER_JOB_ID.$$
trap 'rm -f "$draft"' EXIT
trap 'exit 75' TERM

# In the background: a shell obeys SIGTERM only between commands, and waiting is one that can be interrupted.
tar -czf "$draft" -C "$from" . &
wait "$!" || { echo "tar failed" >&2; exit "$EX_IOERR"; }
sync "$draft"
mv "$draft" "$archive"
printf '{"archive": "%s", "bytes": %d}\n' "$archive" "$(wc -c <"$archive")"
