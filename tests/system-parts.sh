#!/bin/sh
# The parts that pip cannot bring: a PostgreSQL server, a Chromium and curl. Found where present, else installed.
set -eu

has_postgresql() { command -v postgres >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }
has_chromium() { [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1; }

missing=""
has_postgresql || missing="$missing postgresql"
has_chromium || missing="$missing chromium"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
[ -n "$missing" ] || exit 0

echo "The tests use real parts that are not on this machine:$missing"
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
if command -v apt-get >/dev/null 2>&1; then
    echo "Installing them with apt-get ..."
    $sudo apt-get update -qq
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif command -v brew >/dev/null 2>&1; then
    for part in $missing; do
        case $part in postgresql) brew install postgresql@16 ;; chromium) brew install --cask chromium ;; curl) brew install curl ;; esac
    done
else
    echo "Install them with this machine's package manager, then run make test again." >&2
    exit 1
fi
