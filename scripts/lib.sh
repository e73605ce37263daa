# Shared by the other scripts: `. scripts/lib.sh`, with the project's folder as
# the working directory.

have() {
    command -v "$1" >/dev/null 2>&1
}

# skip WHAT WHY: says that WHAT cannot be had. Where CI=true nothing may be
# missing, so there it ends the script.
skip() {
    echo "skipped: $1, because $2" >&2
    if [ "${CI:-}" = true ]; then
        echo "CI=true: nothing may be skipped" >&2
        exit 1
    fi
}
