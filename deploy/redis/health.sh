#!/bin/sh
# Checks whether Redis accepts commands; it does not while it loads its file.
set -eu

REDISCLI_AUTH=$(cat "$REDIS_PASSWORD_FILE")
export REDISCLI_AUTH
[ "$(redis-cli ping)" = PONG ]
