"""The HTTP server, built on httptools: requests within limits (`requests`), and connections (`server`).

Belongs here: protection against slow, large and malformed requests, regardless of their route.
Does not belong here: routes and their handlers (`serving.app`, `serving.handlers`).
"""
