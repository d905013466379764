#!/bin/sh
# debian-root.sh - a bare Debian in a folder, and the way into it; sourced by clean-machine and debian-machine, which
# have a function die. Needs root and debootstrap.

# Prints the first Debian archive that apt itself is set up to use here.
debian_mirror() {
    # shellcheck disable=SC2016 # apt expands these
    apt-get indextargets --format '$(CREATED_BY) $(LABEL) $(RELEASE) $(SITE)' |
        awk '$1 == "Packages" && $2 == "Debian" && $3 == "bookworm" { print $4; exit }'
}

# debian_make ROOT SUITE MIRROR [TAR]: a minbase system in the empty folder ROOT, whose apt works as this machine's. TAR
# holds the system before that last step: used when it is there, written when it is not.
debian_make() {
    if [ -n "${4:-}" ] && [ -e "$4" ]; then
        tar -C "$1" -xf "$4"
    else
        debootstrap --variant=minbase "$2" "$1" "$3" >"$1.log" 2>&1 </dev/null ||
            { tail -n 20 "$1.log" >&2; die "debootstrap failed"; }
        [ -z "${4:-}" ] || tar -C "$1" -cf "$4" .
    fi
    debian_share_apt "$@"
}

# apt inside gets what apt outside has: archives, keys, proxy; and names resolve the same way. Only Debian's own
# archives, or Node and others from elsewhere would make the machine less clean than it claims to be.
debian_share_apt() {
    rm -f "$1/etc/apt/sources.list"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if [ -e "$file" ] && grep -q "$3" "$file"; then
            cp "$file" "$1/etc/apt/sources.list.d/"
        fi
    done
    if [ -e "$1/etc/apt/sources.list.d/sources.list" ]; then
        mv "$1/etc/apt/sources.list.d/sources.list" "$1/etc/apt/"
    fi
    apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until|Check-Date|Retries)' \
        >"$1/etc/apt/apt.conf.d/90clean-machine" || true
    for folder in /etc/apt/keyrings /etc/apt/trusted.gpg.d /usr/share/keyrings; do
        if [ -d "$folder" ]; then
            mkdir -p "$1$folder"
            cp -n "$folder"/* "$1$folder/" 2>/dev/null || true
        fi
    done
    [ "$2" = bookworm ] ||
        sed -i "s/bookworm/$2/g" "$1/etc/apt/sources.list" "$1"/etc/apt/sources.list.d/* 2>/dev/null || true
    cp -L /etc/resolv.conf "$1/etc/resolv.conf"
    cp /etc/hosts "$1/etc/hosts"
}

# debian_enter ROOT: in mount and pid namespaces of the caller's own, makes ROOT the root, with /proc, /sys, and a /dev
# and /dev/shm of its own.
debian_enter() {
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount -t sysfs sysfs "$1/sys"
    mount -t tmpfs -o mode=755 tmpfs "$1/dev"
    for node in null zero full random urandom tty; do
        : >"$1/dev/$node"
        mount --bind "/dev/$node" "$1/dev/$node"
    done
    mkdir "$1/dev/pts" "$1/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
    ln -s pts/ptmx "$1/dev/ptmx"
    ln -s /proc/self/fd "$1/dev/fd"
    ln -s /proc/self/fd/0 "$1/dev/stdin"
    ln -s /proc/self/fd/1 "$1/dev/stdout"
    ln -s /proc/self/fd/2 "$1/dev/stderr"
    mkdir "$1/.old"
    cd "$1" || exit
    pivot_root . .old
    umount -l /.old
    rmdir /.old
}
