"""Where executions are kept. `protocol.py` is the one page that says what a store does; `urls.py`
opens one.
"""
