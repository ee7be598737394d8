"""Jobs as people see and steer them; `entrepot.jobs` runs them.

`traits` says what kinds there are and how each is run, `timetable` reads schedules, `service` is what the API does.
"""
