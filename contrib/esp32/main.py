"""Heartbeats of a microcontroller to kener_async: MicroPython on an ESP32, as main.py.

A sample a minute goes to a file in flash; a batch of them goes to the server and leaves the file when it was
answered. Each has a number, so that sending again after a lost answer is harmless, and the seconds since the
boot, so that it is placed right whatever the clock says: this one is never set.
"""

import json
import os
import time

import machine
import network
import requests

WIFI = ("name", "password")
URL = "https://status.example.org/api/status/batch"
TOKEN = "..."  # status:write, for this monitor only
TAG = "greenhouse"
SPOOL, COUNT = "spool.txt", "count.txt"
MOST = 500  # samples in flash; of a longer outage the rest is not measured
BLOCK = 100  # numbers taken at once: the flash is written once for so many

_serial = "".join("%02x" % byte for byte in os.urandom(4))


def measure():
    """Status and latency. Put here what this device knows."""
    return "UP", 0


class Numbers:
    """1, 2, 3, ... over all boots. A block is noted before it is used: a power cut repeats none."""

    def __init__(self):
        try:
            with open(COUNT) as file:
                self.device, last = file.read().split()
            self.next = self.end = int(last) + 1
        except (OSError, ValueError):  # new, or lost: then it is a new device to the server
            self.device, self.next, self.end = "esp32-" + _serial, 1, 1

    def take(self):
        if self.next == self.end:
            self.end += BLOCK
            with open(COUNT + ".new", "w") as file:
                file.write("%s %d" % (self.device, self.end - 1))
            os.rename(COUNT + ".new", COUNT)
        self.next += 1
        return self.next - 1


def uptime():
    """Seconds since the boot. Called more often than the ticks wrap around, which is every 12 days."""
    global _last, _seconds
    now = time.ticks_ms()
    _seconds += time.ticks_diff(now, _last) / 1000
    _last = now
    return _seconds


_last, _seconds = time.ticks_ms(), 0.0


def keep(number):
    status, latency = measure()
    sample = {"tag": TAG, "status": status, "latency": latency, "seq": number}
    sample["monotonic"], sample["boot"] = uptime(), _serial
    with open(SPOOL, "a") as file:
        file.write(json.dumps(sample) + "\n")


def waiting():
    """The lines of the spool that are whole: a power cut may have torn the last one."""
    try:
        with open(SPOOL) as file:
            return [line for line in file if line.endswith("}\n")]
    except OSError:
        return []


def send(device):
    """Send what waits; it stays in flash until the server has judged it."""
    lines = waiting()
    head = {"device": device, "monotonic": uptime(), "boot": _serial}
    answer = requests.post(
        URL,
        data=json.dumps(head) + "\n" + "".join(lines),
        headers={"Authorization": "Bearer " + TOKEN, "Content-Type": "application/x-ndjson"},
        timeout=20,
    )
    judged = answer.status_code == 200 and len(answer.json()["results"]) == len(lines)
    answer.close()
    if judged:
        os.remove(SPOOL)


def main():
    station = network.WLAN(network.STA_IF)
    station.active(True)
    watchdog, numbers = machine.WDT(timeout=60000), Numbers()
    while True:
        began = time.ticks_ms()
        if len(waiting()) < MOST:
            keep(numbers.take())
        try:
            if not station.isconnected():
                station.connect(*WIFI)
            else:
                send(numbers.device)
        except (OSError, ValueError, KeyError) as error:
            print("kept, to be sent later:", error)
        while time.ticks_diff(time.ticks_ms(), began) < 60000:
            watchdog.feed()
            time.sleep(1)


if __name__ == "__main__":
    main()
