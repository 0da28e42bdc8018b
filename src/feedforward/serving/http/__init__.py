"""The HTTP server over httptools: bounded requests and connections (`requests`), and their answers (`server`).

Belongs here: what protects the service from slow, large and malformed requests, whatever they ask.
Does not belong here: routes and what they answer (`serving.app`, `serving.handlers`).
"""
