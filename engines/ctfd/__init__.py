"""What the CTFd plugin knows that needs no CTFd: forms, catalogue, gate, pages' data.

The plugin itself is ``engines/ctfd/plugin/``; it asks CTFd and hands plain values to these modules.
"""
