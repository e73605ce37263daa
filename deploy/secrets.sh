#!/bin/sh
# Generates the secrets that the containers share, on the first start: 256 random
# bits in hexadecimal in each missing file. Existing files stay unchanged.
#
#   deploy/secrets.sh FILE...
#
# Each file is on its own volume, which only its readers mount. So everyone there may
# read it: the readers run as different users.
set -eu
umask 077

for file; do
    if [ -s "$file" ]; then
        continue
    fi
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$file.draft"
    [ "$(wc -c <"$file.draft")" -eq 64 ]
    chmod 444 "$file.draft"
    # On the disk before the file gets its name: a key in use must not be lost.
    sync
    mv "$file.draft" "$file"
    sync
    echo "made $file"
done
