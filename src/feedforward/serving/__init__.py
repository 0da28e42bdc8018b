"""Serves registered models: predictions in Python, the HTTP service, its pages, and MLflow's python_function flavor.

Belongs here: loading the champion, encoding raw samples, the HTTP server and the ASGI application; the only uses of
FastAPI, httptools and prometheus-client.
Does not belong here: choosing the champion (`promotion`), and choosing user-submitted samples to train on
(`data.feedback`). The package itself imports nothing, so `serving.prediction` can be used without a web framework.
"""
