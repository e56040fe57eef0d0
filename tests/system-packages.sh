#!/bin/sh
# Install the system packages that pip cannot provide: `system-packages.sh postgresql chromium curl`.
# Packages that are present are left alone. Without apt-get or brew, print what is missing and exit 1.
set -eu

any_command() {
    for name in "$@"; do command -v "$name" >/dev/null 2>&1 && return; done
    return 1
}

is_installed() {
    case $1 in
    postgresql) any_command postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ;;
    chromium) [ -n "${CHROMIUM:-}" ] || any_command chromium-headless-shell chromium chromium-browser google-chrome ;;
    redis) any_command redis-server ;;
    # The Node.js runtime inside the Playwright package links to it. Only Linux has it as a package.
    libatomic) [ "$(uname)" != Linux ] || ldconfig -p | grep -q 'libatomic\.so\.1' ;;
    *) any_command "$1" ;;
    esac
}

describe() {
    case $1 in
    postgresql) echo "PostgreSQL server (the program postgres)" ;;
    chromium) echo "Chromium (chromium-headless-shell, chromium or google-chrome, or set CHROMIUM=/path)" ;;
    redis) echo "Redis server (the program redis-server)" ;;
    libatomic) echo "libatomic.so.1 (Debian: libatomic1, Fedora: libatomic)" ;;
    *) echo "$1" ;;
    esac
}

fail() {
    echo "$1 Missing:" >&2
    for package in $missing; do echo "  - $(describe "$package")" >&2; done
    echo "Install them with your package manager, then run the command again." >&2
    exit 1
}

missing=""
for package in "$@"; do is_installed "$package" || missing="$missing $package"; done
[ -n "$missing" ] || exit 0

sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
if any_command apt-get && any_command ${sudo:-true}; then
    echo "Installing with apt-get:$missing" >&2
    install="$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
    $sudo apt-get update -qq >&2 || fail "apt-get update failed."
    for package in $missing; do
        case $package in
        redis) $install redis-server ;;
        libatomic) $install libatomic1 ;;
        # Not every release has the variant without a desktop.
        chromium) $install chromium-headless-shell 2>/dev/null || $install chromium ;;
        *) $install "$package" ;;
        esac >/dev/null || fail "apt-get could not install everything."
    done
elif any_command brew; then
    echo "Installing with brew:$missing" >&2
    for package in $missing; do
        case $package in
        postgresql) brew install postgresql@16 ;;
        chromium) brew install --cask chromium ;;
        *) brew install "$package" ;;
        esac
    done
else
    fail "Some system packages are not installed."
fi
