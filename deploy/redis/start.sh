#!/bin/sh
# Starts redis-server with the password of a file, which so stands neither in its
# arguments nor in the environment. More settings are given as arguments.
#
#   REDIS_PASSWORD_FILE=FILE deploy/redis/start.sh --appendonly yes ...
set -eu
umask 077

configuration=$(mktemp)
printf 'requirepass %s\n' "$(cat "$REDIS_PASSWORD_FILE")" >"$configuration"
exec redis-server "$configuration" "$@"
