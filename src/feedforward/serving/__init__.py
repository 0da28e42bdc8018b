"""Serves registered models: predictions in Python, the HTTP service, its pages, and MLflow's python_function flavor.

Belongs here: loading the champion, encoding raw samples, the HTTP server and the ASGI application; the only uses of
FastAPI, httptools and prometheus-client.
Does not belong here: choosing the champion (`promotion`), and training on user-submitted samples (`data.feedback`).
Import its modules rather than the package, because `prediction` needs no web framework.
"""
