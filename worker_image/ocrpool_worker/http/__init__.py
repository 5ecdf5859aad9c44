"""The worker's two HTTP ports: the data port for clients, the control port for the operator.

`server.py` runs both. `data_port.py` and `control_port.py` hold their handlers, and `metrics.py`
the table of all metrics.
"""
