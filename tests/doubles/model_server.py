"""A server on this computer that misbehaves as asked, and remembers what it was asked for."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAITS = 3  # seconds, for a client that gives up earlier


class Server:
    """What it has: path -> bytes, or a function that answers the request. asked: the paths."""

    def __init__(self, port):
        self.url, self.pages, self.asked = f"http://127.0.0.1:{port}", {}, []
        self.ended = threading.Event()


@contextmanager
def serving():
    """A Server while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            page = server.pages.get(self.path)
            if page is None:
                self.send_error(404)
            elif callable(page):
                page(self)
            else:
                answer(self, page)

        def log_message(self, *words):
            """Says nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server = Server(httpd.server_address[1])
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def answer(handler, data, length=None):
    """These bytes; length: what the header says of them, False for nothing."""
    handler.send_response(200)
    if length is not False:
        handler.send_header("Content-Length", str(len(data) if length is None else length))
    handler.end_headers()
    try:
        handler.wfile.write(data)
    except OSError:
        pass  # the client has left


def redirect(to):
    def page(handler):
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return page


def silent(server):
    """Accepts the request and answers nothing."""
    return lambda handler: server.ended.wait(WAITS)


def dripping(server, data):
    """A byte now and then."""

    def page(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        for k in range(len(data)):
            if server.ended.is_set():
                return
            try:
                handler.wfile.write(data[k : k + 1])
            except OSError:
                return
            time.sleep(0.02)

    return page
