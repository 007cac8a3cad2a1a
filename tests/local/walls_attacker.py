"""A process that tries to break out of what a region gives it: prints one line for each thing that it managed, then 'tried'.

    walls_attacker.py PID...     the files of blocks that these processes have open, as far as /proc shows them, and the descriptors
                                 themselves of what is handed out for reading
"""
import ctypes
import fcntl
import mmap
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2


def attempts(path, name):
    """What can be done with a file of blocks that somebody else publishes in."""
    for flags, way in ((os.O_RDWR, "for writing"), (os.O_WRONLY, "for writing only")):
        try:
            fd = os.open(path, flags)
        except OSError:
            continue
        size = os.fstat(fd).st_size
        for what, attempt in {
            "write": lambda: os.pwrite(fd, b"x", 0),
            "map writable": lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
            "shrink": lambda: os.ftruncate(fd, 4096),
            "grow": lambda: os.ftruncate(fd, size + 4096),
            "punch a hole": lambda: punch(fd),
        }.items():
            try:
                attempt()
                print(f"managed: {what} {name}, reopened {way}")
            except (OSError, ValueError):
                pass
        os.close(fd)
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return
    print(f"read: {name}")
    attempts_with(fd, name)
    os.close(fd)


def attempts_with(fd, name):
    for what, attempt in {
        "map writable": lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
        "make a mapping writable": lambda: remap(fd),
        "punch a hole in": lambda: punch(fd),
        "write": lambda: os.pwrite(fd, b"x", 0),
        "unseal": lambda: fcntl.fcntl(fd, 1033, 0x20),
    }.items():
        try:
            attempt()
            print(f"managed: {what} {name}, opened for reading")
        except (OSError, ValueError):
            pass


def taken_from(pid, number):
    """The very descriptor of another process of the same user; none where the kernel does not give it."""
    process = libc.syscall(434, pid, 0)
    if process < 0:
        return None
    fd = libc.syscall(438, process, number, 0)
    os.close(process)
    return fd if fd >= 0 else None


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "refused")


def punch(fd):
    check(libc.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(4096)))


def remap(fd):
    mapped = mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
    with open("/proc/self/maps") as maps:
        addresses = [int(line.split("-")[0], 16) for line in maps if f" {os.fstat(fd).st_ino} " in line]
    for address in addresses:
        check(libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), 3))
    mapped.close()


def files_of(pid):
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for fd in fds:
        path = f"/proc/{pid}/fd/{fd}"
        try:
            target = os.readlink(path)
        except OSError:
            continue
        yield path, target


def main():
    # What a region needs no wall against: its directory, which all of its processes write.
    kinds = ("memfd:slotwire-blocks", "memfd:slotwire-copies", "memfd:slotwire-cell")
    for pid in sys.argv[1:]:
        for path, target in files_of(pid):
            kind = next((kind for kind in kinds if kind in target), None)
            if kind:
                attempts(path, kind)
            if kind == "memfd:slotwire-copies":
                fd = taken_from(int(pid), int(os.path.basename(path)))
                if fd is not None:
                    print(f"took: {kind}")
                    attempts_with(fd, kind)
                    os.close(fd)
    print("tried", flush=True)


if __name__ == "__main__":
    main()
