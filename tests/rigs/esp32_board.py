"""What an ESP32 has, made up, and contrib/esp32/main.py on it: for MicroPython, and for Python.

Time passes as the example sleeps, or waits for an answer. The first line of standard input says what board it
is, the others how it goes on; standard output tells what happens, a JSON list a line, among what the example
prints.
"""
# mypy: ignore-errors

import json
import os
import sys

import requests

given = json.loads(sys.stdin.readline())


def tell(*words):
    print(json.dumps(words))


class Clock:
    """The module `time`, as far as there is one without a calendar. Ticks soon wrap around."""

    WRAPS = 1 << 30

    def __init__(self):
        self.ms = self.until = 0

    def true(self):
        return given["now"] + self.ms * (1 + given["slow"]) / 1000

    def ticks_ms(self):
        while self.ms >= self.until:
            self.show()
            tell("paused", self.true())
            order = sys.stdin.readline()
            if not order:
                raise SystemExit
            self.go_on(json.loads(order))
        return (self.WRAPS - 90000 + self.ms) % self.WRAPS

    def ticks_add(self, ticks, more):
        return (ticks + more) % self.WRAPS

    def ticks_diff(self, one, other):
        return (one - other + self.WRAPS // 2) % self.WRAPS - self.WRAPS // 2

    def go_on(self, order):
        self.until += order["seconds"] * 1000
        World.wifi, World.sensor = order["wifi"], order["sensor"]
        World.takes, World.loses = order["takes"], order["loses"]
        for name, value in order["settings"].items():
            setattr(main, name, value)

    def sleep_ms(self, ms):
        self.ms += ms
        if self.ms > Machine.bites_at:
            tell("watchdog")
            raise SystemExit

    def show(self):
        """The server goes by this clock."""
        with open(given["clock"] + ".new", "w") as file:
            file.write(str(int(self.true())))
        os.rename(given["clock"] + ".new", given["clock"])


class World:
    wifi = sensor = True
    takes, loses = 0, False


class Machine:
    bites_at = 0

    class WDT:
        def __init__(self, timeout):
            self.timeout = timeout
            self.feed()

        def feed(self):
            Machine.bites_at = clock.ms + self.timeout


class Network:
    STA_IF = 0

    class WLAN:
        def __init__(self, interface):
            self.is_asked = False

        def active(self, on):
            pass

        def connect(self, name, password):
            if self.is_asked:
                raise OSError("Wifi Internal State Error")
            self.is_asked = True

        def isconnected(self):
            return self.is_asked and World.wifi


class Requests:
    """The real ones, over a network that takes its time and may lose the answer."""

    def post(self, url, **options):
        clock.sleep_ms(World.takes * 1000)
        clock.show()
        answer = requests.post(url, **options)
        if World.loses:
            answer.close()
            raise OSError(110)
        return answer


class Flash:
    """Blocks in a file. The power goes in the middle of the write up to which `left` counts."""

    SIZE, COUNT = 4096, 32

    def __init__(self, path):
        self.file, self.left = open(path, "r+b"), None  # noqa: SIM115

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * self.SIZE + offset)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        if self.left == 0:
            buffer = bytes(buffer)[: len(buffer) // 2]
        self.file.seek(block * self.SIZE + offset)
        self.file.write(buffer)
        self.file.flush()
        if self.left == 0:
            tell("power cut")
            os.system("kill -9 $PPID")
        if self.left is not None:
            self.left -= 1

    def ioctl(self, operation, block):
        if operation == 6:
            self.writeblocks(block, b"\xff" * self.SIZE)
        return {4: self.COUNT, 5: self.SIZE}.get(operation, 0)


def mount(flash):
    try:
        disk = os.VfsLfs2(flash)
    except OSError:  # new
        os.VfsLfs2.mkfs(flash)
        disk = os.VfsLfs2(flash)
    os.mount(disk, "/flash")
    os.chdir("/flash")


def measure():
    if not World.sensor:
        raise OSError(5)
    given["number"] += 1
    tell("measured", given["number"], clock.true())
    return "UP", given["number"]


clock = Clock()
if given["flash"]:
    flash = Flash(given["flash"])
    mount(flash)
    flash.left = given["cut"]
real = sys.modules.get("time")
sys.modules.update({"time": clock, "machine": Machine, "network": Network, "requests": Requests()})
sys.path.insert(0, given["example"])
import main  # noqa: E402

if real is not None:
    sys.modules["time"] = real
for name, value in given["settings"].items():
    setattr(main, name, value)
main.measure = measure
main.main()
