#!/bin/sh
# Makes the secrets that the containers share, on the first start: 256 random bits
# in hexadecimal in each file that is not there yet. What is there stays as it is.
#
#   deploy/secrets.sh FILE...
#
# Each file is on a volume of its own that only its readers mount, so that it need
# not name them: they run as different users.
set -eu
umask 077

for file; do
    if [ -s "$file" ]; then
        continue
    fi
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$file.draft"
    [ "$(wc -c <"$file.draft")" -eq 64 ]
    chmod 444 "$file.draft"
    # On disk before it has its name: a key that was used must not be lost.
    sync
    mv "$file.draft" "$file"
    sync
    echo "made $file"
done
