# shellcheck shell=bash
# libfaketime, with which the torture shifts the wall clock of a process: found or installed, and never silently missing.

find_or_install_faketime() {
    [ "$(uname)" = Linux ] || { say "NO CLOCK IS SHIFTED: that part of the torture runs on Linux only"; return 0; }
    faketime_is_there && return 0
    apt_install libfaketime || true
    faketime_is_there || say "NO CLOCK IS SHIFTED: libfaketime was not found and could not be installed" \
        "(Debian: apt-get install libfaketime); everything else is tortured all the same"
}

faketime_is_there() {
    [ -z "${FUTURECALL_FAKETIME:-}" ] || return 0
    local file
    for file in /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib*/faketime/libfaketimeMT.so.1 \
        /usr/local/lib/faketime/libfaketimeMT.so.1; do
        [ -f "$file" ] && return 0
    done
    return 1
}
