#!/usr/bin/env python3
"""A network for VMs out of Unix datagram sockets: every frame goes to all others.

    hub.py DIRECTORY NUMBER

VM k sends to DIRECTORY/hub-k and receives at DIRECTORY/vm-k. The host has no interface on it.
"""
import select
import socket
import sys

directory, number = sys.argv[1], int(sys.argv[2])
ports = []
for index in range(number):
    port = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    port.bind(f"{directory}/hub-{index}")
    port.setblocking(False)
    ports.append(port)
open(f"{directory}/hub-ready", "w").close()
while True:
    for source in select.select(ports, [], [])[0]:
        try:
            frame = source.recv(1 << 17)
        except OSError:
            continue
        for index, port in enumerate(ports):
            if port is not source:
                try:
                    port.sendto(frame, f"{directory}/vm-{index}")
                except OSError:
                    pass  # Not there yet, or full: frames may be lost.
