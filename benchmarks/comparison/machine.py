# SPDX-License-Identifier: MIT
"""What the figures were taken on: processor, kernel, load, compilers."""
import os
import platform
import subprocess
import time


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def first_line(*command):
    try:
        out = subprocess.run(command, capture_output=True, text=True,
                             timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return out.splitlines()[0] if out else ""


def cpuinfo(key):
    for line in read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def memory_gib():
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 2**20, 1)
    return 0


def load():
    return [round(value, 2) for value in os.getloadavg()]


class Others:
    """How many cores went to other programs, and to other machines on the
    same hardware, from its making until told()."""

    def __init__(self):
        self.before = self.now()

    @staticmethod
    def now():
        tick = os.sysconf("SC_CLK_TCK")
        fields = [int(field) / tick for field
                  in read("/proc/stat").partition("\n")[0].split()[1:9]]
        fields += [0.0] * (8 - len(fields))
        user, nice, system, _, _, irq, softirq, stolen = fields
        own = sum(os.times()[:4])       # this process and its children
        return (time.monotonic(), user + nice + system + irq + softirq - own,
                stolen)

    def told(self):
        wall, busy, stolen = (after - before for after, before
                              in zip(self.now(), self.before))
        wall = max(wall, 1e-3)
        return {"cores": round(max(busy, 0) / wall, 2),
                "stolen": round(stolen / wall, 2)}


def describe():
    flags = cpuinfo("flags").split()
    return {
        "processor": cpuinfo("model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "mhz": cpuinfo("cpu MHz"),
        "virtual": "hypervisor" in flags,
        "governor": read(
            "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_gib": memory_gib(),
        "kernel": platform.release(),
        "system": next((line.partition("=")[2].strip('"') for line
                        in read("/etc/os-release").splitlines()
                        if line.startswith("PRETTY_NAME=")), ""),
        "compilers": [line for line in (first_line("gcc", "--version"),
                                        first_line("clang", "--version"))
                      if line],
        "commit": first_line("git", "-C", os.path.dirname(__file__),
                             "describe", "--always", "--dirty", "--abbrev=10"),
    }
