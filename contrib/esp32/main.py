"""Send heartbeats from a microcontroller to kener_async: MicroPython on an ESP32, as main.py.

Each minute a sample is written to a file in flash, and removed when the server has acknowledged it. It has a
sequence number, so that sending it again after a lost response is harmless, and the seconds since boot, so
that the server can compute its minute although the clock of the board is never set.
"""

import gc
import json
import os
import time

import machine
import network
import requests

WIFI = ("name", "password")
URL = "https://status.example.org/api/status/batch"
TOKEN = "..."  # status:write, for this monitor only: `requests` verifies no certificate
TAG = "greenhouse"
SPOOL = "spool.txt"
FULL = 64 * 1024  # bytes, some 600 samples; when it is full, nothing is measured
PIECE = 50  # samples in a request: they and the response must fit into memory
FINAL = ("accepted", "duplicate", "superseded", "rejected")
EVERY = 59000  # ms; just below a minute, so that a slow clock skips no minute


def measure():
    """Status and latency. Put your own measurement here."""
    return "UP", 0


class Clock:
    """Whole seconds since the boot. (Ticks wrap around after 12 days, and floats have 7 digits here.)"""

    def __init__(self):
        self.boot = "".join("%02x" % byte for byte in os.urandom(4))
        self.ticks, self.ms = time.ticks_ms(), 0

    def stamp(self):
        ticks = time.ticks_ms()
        self.ms, self.ticks = self.ms + time.ticks_diff(ticks, self.ticks), ticks
        return {"boot": self.boot, "monotonic": self.ms // 1000}


class Spool:
    """What waits, in a file below the name of the device and the number of the last sample that has left.

    A power cut may tear the last line; its number is then given again, for it was not sent.
    """

    def __init__(self):
        self.clock = Clock()
        self.judged = 0  # the part of the file, in bytes, that the server has acknowledged
        try:
            with open(SPOOL, "rb") as file:
                name, last = file.readline().split()
                self.device, self.last = name.decode(), int(last)
                for line in whole_lines(file):
                    self.last = json.loads(line)["seq"]
        except (OSError, ValueError):  # new, or lost: a new device to the server
            self.device, self.last = "esp32-" + self.clock.boot, 0
            self.clear()

    def keep(self):
        if os.stat(SPOOL)[6] < FULL:
            stamp, (status, latency) = self.clock.stamp(), measure()
            self.last += 1
            sample = dict(stamp, tag=TAG, status=status, latency=latency, seq=self.last)
            with open(SPOOL, "a") as file:  # on a new line, also after a torn one
                file.write("\n" + json.dumps(sample) + "\n")

    def send(self):
        """Send the next samples, and say whether more may wait."""
        lines = []
        with open(SPOOL, "rb") as file:
            file.seek(self.judged)
            for line in whole_lines(file):
                lines.append(line)
                if len(lines) == PIECE:
                    break
            end = file.tell()
        if lines:
            post(dict(self.clock.stamp(), device=self.device), lines)
        self.judged = end
        if len(lines) < PIECE:
            self.clear()
        return len(lines) == PIECE

    def clear(self):
        with open(SPOOL + ".new", "w") as file:
            file.write("%s %d\n" % (self.device, self.last))
        os.rename(SPOOL + ".new", SPOOL)
        self.judged = 0
        if self.clock.ms > 86400000:
            self.clock = Clock()  # as after a boot, so that its drift does not add up


def whole_lines(file):
    return (line.strip() for line in file if line.strip().endswith(b"}"))


def post(head, lines):
    """Raises something unless the server has stored or rejected each of the lines."""
    gc.collect()  # TLS needs much memory at once
    headers = {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/x-ndjson"}
    body = json.dumps(head).encode() + b"\n" + b"\n".join(lines)
    answer = requests.post(URL, data=body, headers=headers, timeout=20)
    try:
        results = answer.json()["results"] if answer.status_code == 200 else ()
        if len(results) != len(lines):
            raise OSError("answered with %d" % answer.status_code)
        for result in results:  # refused: the monitor is not known yet, or the token is for others
            if result["verdict"] not in FINAL:
                raise OSError("%s: %s" % (result["verdict"], result.get("error")))
    finally:
        answer.close()


def attempt(step):
    try:
        return step()
    except Exception as error:  # of any kind: retry in the next minute
        print("later again:", repr(error))


def main():
    watchdog = machine.WDT(timeout=180000)  # ms; a request may take its timeout several times
    station = network.WLAN(network.STA_IF)
    station.active(True)
    station.connect(*WIFI)  # reconnects by itself
    spool, due = Spool(), time.ticks_add(time.ticks_ms(), 10000)  # ms, for the network to connect
    while True:
        watchdog.feed()
        left = time.ticks_diff(due, time.ticks_ms())
        if left > 0:
            time.sleep_ms(min(left, 1000))
            continue
        due = time.ticks_add(due, (-left // EVERY + 1) * EVERY)  # not from now, or delays would add up
        attempt(spool.keep)
        while station.isconnected() and attempt(spool.send):
            watchdog.feed()


if __name__ == "__main__":
    main()
