#!/bin/sh
# Starts mongod as a replica set of one member, so that acknowledged writes are
# durable, and creates the set and its users on the first start.
#
#   MONGODB_ROOT_PASSWORD_FILE=FILE MONGODB_PASSWORD_FILE=FILE deploy/mongodb/start.sh
#
# Members of a replica set with users share a key. This set has one member, so each
# start generates a new key.
set -eu
umask 077

key=$(mktemp)
head -c 512 /dev/urandom | base64 | tr -d '\n' >"$key"
# In the background, because mongod replaces this process.
(mongosh --nodb --quiet --file /deploy/mongodb/initiate.js &)
exec mongod --replSet rollcall --keyFile "$key" --bind_ip_all "$@"
