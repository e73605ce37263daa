# Shared by the other scripts: `. scripts/lib.sh`, with the project folder as the
# working directory.

have() {
    command -v "$1" >/dev/null 2>&1
}

# skip WHAT WHY: reports that WHAT is skipped. With CI=true nothing may be skipped,
# so it ends the script.
skip() {
    echo "skipped: $1, because $2" >&2
    if [ "${CI:-}" = true ]; then
        echo "CI=true: nothing may be skipped" >&2
        exit 1
    fi
}

# npm_install FOLDER WHAT: installs the packages of FOLDER's lock file for WHAT, unless
# they are newer than it.
npm_install() {
    installed=$1/node_modules/.package-lock.json
    if [ -e "$installed" ] && [ -z "$(find "$1/package-lock.json" -newer "$installed")" ]; then
        return
    fi
    if ! have npm; then
        skip "$2" "npm is missing (Node 20 or newer)"
        return
    fi
    if (cd "$1" && npm ci --no-audit --no-fund --loglevel=error); then
        touch "$installed"
    else
        skip "$2" "npm could not install the packages of $1"
    fi
}
