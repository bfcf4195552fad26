# shellcheck shell=bash
# PgBouncer, for tests of pods that share it with an application: found or installed. The tests start it themselves.

require_pgbouncer() {
    if pgbouncer_is_there; then return 0; fi
    if have apt-get; then
        # The package also starts a pooler of its own, on another port; ours ignore it.
        apt_install pgbouncer || true
    elif have brew; then
        say "installing Homebrew's pgbouncer"
        brew install pgbouncer >&2 || true
    fi
    pgbouncer_is_there || die "PgBouncer (the program pgbouncer) was not found and could not be installed" \
        "Install it (Debian: apt-get install pgbouncer; macOS: brew install pgbouncer), then run this script again."
}

# Debian installs it outside of an ordinary user's PATH.
pgbouncer_is_there() {
    have pgbouncer || [ -x /usr/sbin/pgbouncer ] || [ -x /usr/local/bin/pgbouncer ] || [ -x /opt/homebrew/bin/pgbouncer ]
}
