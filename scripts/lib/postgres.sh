# shellcheck shell=bash
# A throw-away PostgreSQL server: found or installed, started on a free port of the loopback address, removed at the end.
#
#   start_postgres   sets and exports DATABASE_URL
#   stop_postgres    safe to call at any time, any number of times; belongs into a trap before start_postgres is called

pg_bin=""
pg_user=""
pg_folder=""
pg_port=""

start_postgres() {
    choose_postgres_user
    if ! find_postgres; then
        install_postgres
        find_postgres || die "PostgreSQL's programs (initdb, pg_ctl, postgres) were not found and could not be installed" \
            "Install them (Debian: apt-get install postgresql, macOS: brew install postgresql@17)" \
            "or set DATABASE_URL to a server whose user may create databases, then run this script again."
    fi

    sweep_abandoned_servers
    # The folder's path must be short: a socket's path may have about 100 characters, and macOS's TMPDIR takes half of them.
    pg_folder=$(mktemp -d /tmp/futurecall-postgres.XXXXXX) || die "could not make a folder under /tmp"
    local password
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" >"$pg_folder/password"
    printf '%s %s\n' $$ "$(uname -n)" >"$pg_folder/script"
    if [ -n "$pg_user" ]; then
        chown -R "$pg_user" "$pg_folder"
    fi

    say "starting $("$pg_bin/postgres" --version) in $pg_folder"
    # A password, because every user of this machine can reach the port; not hashed, because the connection is local, and
    # hashing it for each of the tests' many connections costs more than most tests do.
    run_postgres initdb --pgdata="$pg_folder/data" --username=futurecall --pwfile="$pg_folder/password" \
        --auth-local=trust --auth-host=password --encoding=UTF8 --locale=C --no-sync \
        >"$pg_folder/initdb.log" 2>&1 || {
        cat "$pg_folder/initdb.log" >&2
        die "initdb failed; its messages are above"
    }
    start_postgres_on_free_port
    export DATABASE_URL="postgres://futurecall:$password@127.0.0.1:$pg_port/postgres"
}

stop_postgres() {
    [ -n "$pg_folder" ] || return 0
    remove_server "$pg_folder"
    pg_folder=""
}

remove_server() {
    if [ -f "$1/data/postmaster.pid" ]; then
        # Its data is not worth a checkpoint, and no open connection is worth waiting for.
        run_postgres pg_ctl --pgdata="$1/data" --mode=immediate stop >/dev/null 2>&1 || true
    fi
    rm -rf "$1"
}

# A script that was killed could not remove its server: the next one on the same machine does.
sweep_abandoned_servers() {
    local folder script machine server
    for folder in /tmp/futurecall-postgres.*; do
        read -r script machine 2>/dev/null <"$folder/script" || continue
        [ -O "$folder" ] || is_root || continue
        if [ "$machine" != "$(uname -n)" ] || kill -0 "$script" 2>/dev/null; then continue; fi
        server=$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null) || true
        # After a restart of the machine, the number may be another program's.
        if [ -n "$server" ] && ! ps -p "$server" -o args= 2>/dev/null | grep -qF "$folder"; then
            rm -f "$folder/data/postmaster.pid"
        fi
        remove_server "$folder"
    done
}

# PostgreSQL refuses to run as root: then another user runs it, `postgres` or `nobody`.
choose_postgres_user() {
    is_root || return 0
    local user
    for user in postgres _postgres nobody; do
        if id "$user" >/dev/null 2>&1; then
            pg_user=$user
            return 0
        fi
    done
    die "PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it" \
        "Run this script as an ordinary user, or set DATABASE_URL."
}

# Runs one of PostgreSQL's programs as the user chosen, in a folder which that user may enter.
run_postgres() {
    local program=$pg_bin/$1
    shift
    # In English regardless of the locale: start_postgres_on_free_port reads the messages.
    set -- env LC_ALL=C "$program" "$@"
    if [ -z "$pg_user" ]; then
        (cd / && "$@")
    elif have runuser; then
        (cd / && runuser -u "$pg_user" -- "$@")
    elif have sudo; then
        (cd / && sudo -n -u "$pg_user" "$@")
    else
        die "root cannot run a program as user $pg_user here: neither runuser nor sudo was found" \
            "Run this script as an ordinary user, or set DATABASE_URL."
    fi
}

# Sets pg_bin to a folder that holds all three programs: of PATH, of Debian, of Fedora, of Homebrew, of Postgres.app;
# the newest version where there are several.
find_postgres() {
    local initdb folder
    if initdb=$(command -v initdb); then
        postgres_in "$(dirname "$initdb")" && return 0
    fi
    while IFS= read -r folder; do
        postgres_in "$folder" && return 0
    done < <(
        for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
            /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /home/linuxbrew/.linuxbrew/opt/postgresql*/bin \
            /Applications/Postgres.app/Contents/Versions/*/bin; do
            [ -x "$folder/initdb" ] || continue
            printf '%s %s\n' "$("$folder/initdb" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" "$folder"
        done | sort -rn | cut -d' ' -f2-
    )
    return 1
}

# Whether a folder's programs are all there and can be run by the user chosen.
postgres_in() {
    local program
    for program in initdb pg_ctl postgres; do
        [ -x "$1/$program" ] || return 1
    done
    pg_bin=$1
    run_postgres postgres --version >/dev/null 2>&1
}

# Debian's package also starts a server of its own; ours is another one, on another port.
install_postgres() {
    if have apt-get; then
        apt_install postgresql || true
    elif have brew; then
        say "installing Homebrew's postgresql@17"
        brew install postgresql@17 >&2 || true
    fi
}

# Sets pg_port. A port that looked free may be taken by the time the server binds it: then another one is tried.
start_postgres_on_free_port() {
    local attempt
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        # Below the range of ephemeral ports.
        pg_port=$((20000 + RANDOM % 10000))
        # Tests on a throw-away server cannot show durability across power cuts: fsync costs, and proves nothing.
        # synchronous_commit stays on: it decides what a client may rely on when a commit returns.
        if run_postgres pg_ctl --pgdata="$pg_folder/data" --log="$pg_folder/data/server.log" --wait --silent start --options \
            "-p $pg_port -k $pg_folder -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off -c full_page_writes=off -c synchronous_commit=on" \
            >"$pg_folder/start.log" 2>&1; then
            return 0
        fi
        grep -qi 'address already in use' "$pg_folder/data/server.log" || break
        say "port $pg_port was taken (attempt $attempt)"
        : >"$pg_folder/data/server.log"
    done
    cat "$pg_folder/start.log" "$pg_folder/data/server.log" >&2 || true
    die "the PostgreSQL server did not start; its messages are above"
}
