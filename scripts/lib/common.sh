# shellcheck shell=bash
# What the scripts share: how they speak, and how they install what is missing.
# Sourced with the working directory at the top of the repository.

# Root's programs (nft, ip, …) are not in everyone's path.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' red='' plain=''
fi

# heading TEXT: what comes next.
heading() {
    printf '%s==> %s%s\n' "$bold" "$*" "$plain"
}

# fail TEXT: says why on standard error and ends the script.
fail() {
    printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
    exit 1
}

# as_root COMMAND…: runs it as root, through sudo if need be.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo --preserve-env=CI,NO_COLOR -- "$@"
    else
        fail "root is needed for: $* (run this as root, or install sudo)"
    fi
}

# need PROGRAM PACKAGE: notes the package if the program is missing.
# need_library NAME PACKAGE: the same for a library that pkg-config should know.
missing=()
need() {
    command -v "$1" >/dev/null || missing+=("$2")
}
need_library() {
    pkg-config --exists "$1" 2>/dev/null || missing+=("$2")
}

# What it takes to build.
need_to_build() {
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    need pkg-config pkg-config
    need_library libmnl libmnl-dev
    need_library libnftnl libnftnl-dev
}

# install_missing: installs what was noted. Says nothing if nothing was.
install_missing() {
    [[ ${#missing[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null ||
        fail "please install (named as on Debian): ${missing[*]}"
    heading "Installing ${missing[*]}"
    local log
    log=$(mktemp)
    if ! apt_install >"$log" 2>&1; then
        cat "$log" >&2
        fail "apt-get could not install: ${missing[*]}"
    fi
    rm -f "$log"
    missing=()
}

apt_install() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    # Known package lists are good enough most of the time, and much faster.
    as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
        { as_root "${apt[@]}" update &&
            as_root "${apt[@]}" install --no-install-recommends "${missing[@]}"; }
}

# check_room GIGABYTES: ends the script where a build would fill the disk, which a linker tells with
# a signal or not at all. What the target directory holds already counts as room.
check_room() {
    local target=${CARGO_TARGET_DIR:-target} free held
    mkdir -p "$target"
    free=$(df -Pk "$target" | awk 'NR == 2 { print $4 }')
    held=$(du -sk "$target" | cut -f1)
    ((free + held >= $1 * 1024 * 1024)) ||
        fail "$target has $((free / 1024)) MB left on its disk, and building and testing takes $1 GB"
}

# check_rust: a Rust that is new enough for Cargo.toml.
check_rust() {
    if ! command -v cargo >/dev/null && [[ -r ${CARGO_HOME:-$HOME/.cargo}/env ]]; then
        # shellcheck disable=SC1091 # written by rustup
        . "${CARGO_HOME:-$HOME/.cargo}/env"
    fi
    command -v cargo >/dev/null || fail "Rust is missing: https://rustup.rs installs it"
    local wanted have
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(rustc --version | cut -d' ' -f2)
    printf '%s\n%s\n' "$wanted" "$have" | sort --check=quiet --version-sort ||
        fail "Rust $wanted or newer is needed, this is $have: rustup update"
}
