"""The HTTP server, built on httptools: limited requests (`requests`), connections (`server`), calls (`application`).

Belongs here: protection against slow, large and malformed requests, regardless of their route.
Does not belong here: routes and their handlers (`serving.app`, `serving.handlers`).
"""
