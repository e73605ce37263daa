#!/bin/sh
# Whether Redis takes commands: not while it still reads its file.
set -eu

REDISCLI_AUTH=$(cat "$REDIS_PASSWORD_FILE")
export REDISCLI_AUTH
[ "$(redis-cli ping)" = PONG ]
