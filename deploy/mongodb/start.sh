#!/bin/sh
# Starts mongod as a replica set of one member, which acknowledges writes for good,
# and makes it and its users on the first start.
#
#   MONGODB_ROOT_PASSWORD_FILE=FILE MONGODB_PASSWORD_FILE=FILE deploy/mongodb/start.sh
#
# Members of a replica set with users need a key for each other. Here is one
# member, so the key is a new one for each start.
set -eu
umask 077

key=$(mktemp)
head -c 512 /dev/urandom | base64 | tr -d '\n' >"$key"
# On its own, since mongod takes this process's place.
(mongosh --nodb --quiet --file /deploy/mongodb/initiate.js &)
exec mongod --replSet rollcall --keyFile "$key" --bind_ip_all "$@"
