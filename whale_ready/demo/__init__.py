"""``whale-ready demo``: a site with both backends, and a page on which the swap is seen live.

Nothing of the product is made anew here: endpoints, player's panel, routing, dial, engine, adapter
and worker are the ones that a CTFd runs. Whale is the fake, and containers are simulated unless
Docker is asked for.
"""
