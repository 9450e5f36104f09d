"""What surrounds scheduled runs: starting them, checking their surroundings, watching them.

when.py, starting.py, systemd.py, crontab.py   when and how a job is started
checks.py, places.py, doctor.py                whether it will work there
status.py                                      what ran, what is published, how old, how good
starter.py                                     a first configuration with data to try it on
"""
