#!/bin/sh
# The parts that pip cannot bring: `system-parts.sh postgresql chromium curl redis`. Found where present, else installed.
set -eu

any() {
    for name in "$@"; do command -v "$name" >/dev/null 2>&1 && return; done
    return 1
}

has() {
    case $1 in
    postgresql) command -v postgres >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ;;
    chromium) [ -n "${CHROMIUM:-}" ] || any chromium-headless-shell chromium chromium-browser google-chrome ;;
    redis) command -v redis-server >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing=""
for part in "$@"; do has "$part" || missing="$missing $part"; done
[ -n "$missing" ] || exit 0

echo "These parts are needed and not on this machine:$missing" >&2
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
if command -v apt-get >/dev/null 2>&1; then
    echo "Installing them with apt-get ..." >&2
    $sudo apt-get update -qq >&2
    install="$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
    for part in $missing; do
        case $part in
        redis) $install redis-server >/dev/null ;;
        # Not every release has the one without a desktop.
        chromium) $install chromium-headless-shell >/dev/null 2>&1 || $install chromium >/dev/null ;;
        *) $install "$part" >/dev/null ;;
        esac
    done
elif command -v brew >/dev/null 2>&1; then
    for part in $missing; do
        case $part in postgresql) brew install postgresql@16 ;; chromium) brew install --cask chromium ;; *) brew install "$part" ;; esac
    done
else
    echo "Install them with this machine's package manager, then run the same again." >&2
    exit 1
fi
