# shellcheck shell=bash
# What the scripts of this directory share. Sourced after scripts/lib/common.sh.

# shellcheck disable=SC2034 # used by those who source this
default_kernel=${PORTOLAN_VM_KERNEL:-bookworm}

cache=${PORTOLAN_VM_CACHE:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/vm}
# Cargo starts test programs in directories of its own choice.
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# What it takes to start a VM, and what a guest uses: it sees this machine's programs.
need_for_vms() {
    need qemu-system-x86_64 qemu-system-x86
    need cpio cpio
    need modprobe kmod
    need xz xz-utils
    need zstd zstd
    need ip iproute2
    # Only a static one works in the initrd, which has no libraries.
    [[ $(busybox 2>/dev/null) == *insmod* ]] &&
        ! ldd "$(command -v busybox)" >/dev/null 2>&1 || missing+=(busybox-static)
}

# initrd_of KERNEL-DIRECTORY: named after the scripts it is made of, so that working copies with
# different scripts may share a cache.
initrd_of() {
    local scripts
    scripts=$(cat "${BASH_SOURCE[0]%/*}"/{initrd,initrd-init} | sha256sum)
    echo "$1/initrd-${scripts:0:12}.gz"
}
