"""The inference process: volumes and prompts over HTTP, masks back.

The same program runs on the user's own computer and on a department's server. `application.py` is
the FastAPI application, `engine.py` what it serves: volumes (`volumes.py`) and requests for
segments (`requests.py`) in memory, and one worker thread (`worker.py`) that owns the network and
shares its time fairly between clients (`fair_queue.py`). `serving.py` listens and answers.
Nothing here is written to disk but the log, and no log line says anything about a patient.
"""
