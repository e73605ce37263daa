#!/bin/sh
# Starts redis-server with the password from a file, so that it is neither in the
# arguments nor in the environment. Arguments are further settings.
#
#   REDIS_PASSWORD_FILE=FILE deploy/redis/start.sh --appendonly yes ...
set -eu
umask 077

configuration=$(mktemp)
printf 'requirepass %s\n' "$(cat "$REDIS_PASSWORD_FILE")" >"$configuration"
exec redis-server "$configuration" "$@"
