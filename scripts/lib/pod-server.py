#!/usr/bin/env python3
"""A pod of the demo: answers HTTP with its own name and the client address that it sees.

    pod-server.py NAME PORT...

Goes to the background as soon as it listens on every port, so whoever started it may connect.
"""
import os
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    # The base class asks DNS for the host's name here, and there is no DNS in a pod.
    server_bind = socketserver.TCPServer.server_bind


def answer_as(name):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            host, port = self.client_address
            body = f"{name} from {host}:{port}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Answer


def main():
    name, *ports = sys.argv[1:]
    servers = [Server(("", int(port)), answer_as(name)) for port in ports]
    if os.fork():
        return
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


main()
