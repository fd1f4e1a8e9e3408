"""llama.cpp's server as a child of the gateway: its model fetched, started on loopback, watched, ended with us.

launch   what to start: two configs that ask for the same start the same
fetch    a program of its own that gets a model from the Hugging Face Hub: the only user of huggingface_hub
machine  does it on this machine: finds, fetches, starts, asks, ends
guard    what the kernel does for us if we are killed
journal  what the server prints, kept within bounds
server   the life of one server: fetched, started, ready, ended, started again after a while
servers  all of them, across reloads of the config
backend  the adapter, which knows whether its server is there
"""
