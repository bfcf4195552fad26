# shellcheck shell=bash
# Shared by all scripts: messages, and the tools that a fresh machine may lack.
# Written for bash 3.2, which is what macOS ships.

say() {
    printf '==> %s\n' "$*" >&2
}

# Ends the script. The lines after the first explain what to do next.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    local line
    for line in "$@"; do
        printf '       %s\n' "$line" >&2
    done
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

is_root() {
    [ "$(id -u)" -eq 0 ]
}

# Installs Debian packages; fails, without ending the script, if this is not Debian or installing is not permitted.
apt_install() {
    have apt-get || return 1
    local sudo=()
    if ! is_root; then
        have sudo || return 1
        sudo=(sudo)
        # There may be no terminal to type a password.
        [ -t 0 ] || sudo=(sudo -n)
    fi
    say "installing Debian's $*"
    sudo+=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120)
    local messages
    # An index that is only partly refreshed may still have the package: the installation decides.
    if ! messages=$("${sudo[@]}" update -qq 2>&1; "${sudo[@]}" install -y -qq --no-install-recommends "$@" 2>&1); then
        printf '%s\n' "$messages" >&2
        return 1
    fi
}

# A Rust toolchain that is new enough. The minimum is `rust-version` in Cargo.toml.
require_rust() {
    if ! have cargo && [ -f "$HOME/.cargo/env" ]; then
        # rustup was installed, but is not in this shell's PATH.
        # shellcheck source=/dev/null
        . "$HOME/.cargo/env"
    fi
    have cargo || die "cargo was not found" \
        "Install Rust with rustup (https://rustup.rs), then run this script again."

    local wanted found
    wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
    found=$(rustc --version) || die "cargo is installed, but the toolchain of rust-toolchain.toml is not" \
        "Run: rustup toolchain install stable"
    found=$(printf '%s\n' "$found" | sed 's/^rustc \([0-9.]*\).*/\1/')
    version_at_least "$found" "$wanted" || die "Rust $found is too old: this workspace needs $wanted or later" \
        "Run: rustup update stable"
}

# Whether version $1 is $2 or later; the third number does not count.
version_at_least() {
    local have_major have_minor want_major want_minor rest
    IFS=. read -r have_major have_minor rest <<<"$1"
    IFS=. read -r want_major want_minor rest <<<"$2"
    : "$rest"
    [ "$have_major" -gt "$want_major" ] || { [ "$have_major" -eq "$want_major" ] && [ "$have_minor" -ge "$want_minor" ]; }
}

# SQLite is compiled from C, and rustc itself links through the C compiler.
require_c_compiler() {
    [ -z "${CC:-}" ] || ! have "$CC" || return 0
    if c_compiler_works; then return 0; fi
    if apt_install build-essential && c_compiler_works; then return 0; fi
    if [ "$(uname)" = Darwin ]; then
        die "no C compiler was found" "Run: xcode-select --install"
    fi
    die "no C compiler was found" \
        "Install one under the name cc (Debian: build-essential, Fedora: gcc), then run this script again."
}

# On macOS, /usr/bin/cc exists even without a compiler: it must be run to find out.
c_compiler_works() {
    have cc && cc --version >/dev/null 2>&1
}
