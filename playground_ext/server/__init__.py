"""Jupyter server extension: what JupyterLab sees of tasks. Thin authenticated routes and one live websocket.

wire        what travels to the page
routes      REST below {base_url}playground/
live        the websocket {base_url}playground/live: one per page
hub         which tasks are being followed, for all pages together
feed        a thread that follows one task's streams; story is what it has read
listing     a thread that follows the list of all tasks
federations folders with one notebook per party, written and recognised
background  `playground run` in a session of its own
warming     the process that forks kernels, ready before the first federation
"""
