#!/usr/bin/env python3
"""Serves HTTP in a pod: answers with the pod's name and the client address that it sees.

    pod-server.py NAME PORT...
"""
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, *PORTS = sys.argv[1:]


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    # The base class asks DNS for the host's name here, which would wait for DNS to come up.
    server_bind = socketserver.TCPServer.server_bind


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{NAME}, to {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


servers = [Server(("", int(port)), Answer) for port in PORTS]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
